"""The tools there are. A new one is a line here, a file beside this one, and a handler folder."""

from tools.contract import Tool
from tools.errors import InvalidInput
from tools.generate import GENERATE
from tools.inpaint import INPAINT
from tools.mask import MASK
from tools.resolve_template import RESOLVE_TEMPLATE
from tools.train import TRAIN
from tools.video import VIDEO

TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        TRAIN,
        RESOLVE_TEMPLATE,
        GENERATE,
        MASK,
        INPAINT,
        VIDEO,
    )
}


def find(name: str) -> Tool:
    """Look a tool up. Raises InvalidInput if there is none of that name."""
    if name not in TOOLS:
        raise InvalidInput(f"There is no tool {name}; there are {', '.join(TOOLS)}.")
    return TOOLS[name]


def givers(kind: str) -> list[str]:
    """Name the tools whose result carries this kind."""
    return [tool.name for tool in TOOLS.values() if any(given.name == kind for given in tool.gives.values())]
