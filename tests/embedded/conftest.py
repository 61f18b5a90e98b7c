"""What the tests of this room share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that every user can pass through to; those of pytest are private."""
    folder = Path(tempfile.mkdtemp(prefix="packshot-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)
