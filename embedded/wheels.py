"""Where the wheels with the servers lie. They are found, not imported: their modules start things and change modes."""

import importlib.util
from pathlib import Path

from tools.errors import Unavailable


def wheel(package: str) -> Path:
    """Find the folder of an installed package."""
    found = importlib.util.find_spec(package)
    if not found or not found.origin:
        raise Unavailable(f"{package} is not installed here: run make again, or set the URL of a server of yours.")
    return Path(found.origin).parent
