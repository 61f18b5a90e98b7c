"""The house with five tools that do nothing, each with a RunPod endpoint of its own and room for very many jobs."""

from dataclasses import replace

from api.app import create_app
from tasks import watch
from tests.rig import NAP, app
from tools.catalog import TOOLS
from tools.contract import Limits

__all__ = ["NAPS", "app", "create_app"]

NAPS = [replace(NAP, name=f"nap_{n}", files="", limits=Limits(max_in_flight=20_000)) for n in range(5)]

TOOLS.update({tool.name: tool for tool in NAPS})

if __name__ == "__main__":
    watch.main()
