"""One whole house for all pages, as `make up` starts it, with a model that the demo would have trained."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from embedded import orphans
from embedded.demo_photos import shipped
from embedded.demo_script import Script
from tests.conftest import NO_SERVERS, Processes, opened
from tests.docs.blocks import ROOT
from tests.docs.reader import Reader

PATIENCE_S = 120


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """Run the whole house once; its data directory."""
    with opened() as folder:
        starter = Processes(folder)
        env = {**NO_SERVERS, "PACKSHOT_DATA_DIR": str(folder / "data"), "WEBHOOK_HOSTS": "127.0.0.1"}
        up = starter.start("packshot", "up", env=env)
        up.wait_for(lambda: "Packshot is up." in up.said(), PATIENCE_S)
        yield folder / "data"
        up.popen.send_signal(signal.SIGINT)
        up.popen.wait(60)
        up.kill()
        orphans.end(folder / "data", patience_s=1)


@pytest.fixture(scope="module")
def base(data: Path) -> str:
    """Give the address of the house, which has the model 1."""
    address = f"http://127.0.0.1:{json.loads((data / 'ports.json').read_text())['api']}"
    script = Script(shipped(), small=True)
    files = {"images": ("photos.zip", script.zip_photos())}
    job = requests.post(f"{address}/api/train", data=script.ask("train"), files=files, timeout=30).json()
    ended = requests.get(f"{address}/api/jobs/{job['job_id']}?wait=60", timeout=90).json()
    assert ended["result"]["model_id"] == 1, ended
    return address


@pytest.fixture
def reader(data: Path, base: str, tmp_path: Path) -> Iterator[Reader]:
    """Give somebody who has the checkout and a house that is up."""
    if missing := [name for name in ("curl", "openssl") if not shutil.which(name)]:
        pytest.skip(f"the pages ask by {missing}, which this machine does not have")
    made = Reader(ROOT, tmp_path, data, base)
    yield made
    made.close()
