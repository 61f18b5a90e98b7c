"""The catalog as it stands in the code, whatever other tests have added to it."""

import pytest

from tests.tools.seed import OURS
from tools.catalog import TOOLS


@pytest.fixture(autouse=True)
def catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave only the tools that are ours."""
    for name in TOOLS.keys() - OURS.keys():
        monkeypatch.delitem(TOOLS, name)
