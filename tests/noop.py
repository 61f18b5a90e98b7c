"""One more tool, `noop`, which needs no remote: it says what it is told, and what it has heard."""

from typing import Annotated, Any

from pydantic import Field

from tools.catalog import TOOLS
from tools.contract import Params, Result, Tool
from tools.errors import ObjectNotFound
from tools.kinds import Kind, Prompt

#: A word that only the caller can choose.
Heard = Annotated[str, Kind("prompt", explicit=True)]


class NoopParams(Params):
    """What noop is told."""

    word: Prompt = Field("", max_length=2000, description="What to say.")
    heard: list[Heard] = Field([], description="What others said.")
    n: int = Field(0, ge=0, le=999, description="A number.")
    fails: bool = Field(default=False, description="Whether it ends as object_not_found.")


class NoopResult(Result):
    """What noop answers."""

    word: Prompt
    n: int
    heard: list[str]
    words: list[str]


def do(params: NoopParams, _found: Any) -> dict[str, Any]:
    """Say what was heard."""
    if params.fails:
        raise ObjectNotFound("noop was told to fail, so it did.")
    said = "+".join([params.word, *params.heard])
    return {"word": said, "n": params.n, "heard": params.heard, "words": [f"{said}{n}" for n in range(params.n)]}


NOOP = Tool("noop", "Do nothing at once.", NoopParams, NoopResult, files="noops", local=do)

TOOLS[NOOP.name] = NOOP
