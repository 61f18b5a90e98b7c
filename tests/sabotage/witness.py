"""A plugin of pytest that writes down which tests failed, and whether they did so by their own word."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

#: The variable that names the file.
WITNESS = "SABOTAGE_WITNESS"


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    """Write down a failure: `asserted` is one in an assertion of the test itself, not in an import or a fixture."""
    if call.excinfo is None or call.excinfo.errisinstance(pytest.skip.Exception):
        return
    asserted = call.when == "call" and call.excinfo.errisinstance((AssertionError, pytest.fail.Exception))
    with Path(os.environ[WITNESS]).open("a") as file:
        file.write(json.dumps({"test": item.name, "asserted": asserted, "why": call.excinfo.exconly()[:300]}) + "\n")
