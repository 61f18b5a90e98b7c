"""Put a trigger word into the prompt of a template."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from tools.contract import Params, Result, Tool
from tools.kinds import Prompt, TemplateId, TriggerWord
from tools.texts import WORD

#: What a template's prompt says where the product's word shall stand.
PLACEHOLDER = "trigger_keyword"


class ResolveParams(Params):
    """What resolve_template is told."""

    template_id: TemplateId = Field(max_length=64, description="Id of a template: GET /api/templates lists them.")
    trigger_word: TriggerWord = Field(
        pattern=WORD, description="The word that means the product.", examples=["TOK_HANDBAG"]
    )


class ResolveResult(Result):
    """What resolve_template answers."""

    template_id: str
    template_name: str
    original_prompt: str
    resolved_prompt: Prompt
    trigger_word: TriggerWord


def resolve(params: ResolveParams, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Put the word in, literally: neither text is a template language."""
    template = found["template_id"]
    return {
        "template_name": template["name"],
        "original_prompt": template["prompt"],
        "resolved_prompt": template["prompt"].replace(PLACEHOLDER, params.trigger_word),
    }


RESOLVE_TEMPLATE = Tool(
    "resolve_template", "Put a trigger word into the prompt of a template.", ResolveParams, ResolveResult,
    local=resolve,
)  # fmt: skip
