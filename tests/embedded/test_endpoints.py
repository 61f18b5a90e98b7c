"""`packshot endpoints`: what RunPod may spend on each tool, shown and set."""

from collections.abc import Iterator
from typing import Any

import pytest

from embedded.endpoints import scale
from settings import settings
from tests.conftest import NO_SERVERS
from tests.gateway.cloud import Fault
from tests.gateway.gateway import Gateway
from tools.errors import InvalidInput, Unavailable

NOTHING: dict[str, int | None] = {"workersMin": None, "workersMax": None}


@pytest.fixture(name="gateway")
def have_gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """Run a RunPod that does two tools."""
    gateway = Gateway()
    gateway.start()
    for name, value in gateway.customer_env("mask", "video").items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield gateway
    gateway.stop()
    settings.cache_clear()


def test_all_endpoints_are_shown_and_none_is_changed(gateway: Gateway) -> None:
    each = "nap-endpoint: 0 to 3 workers (NVIDIA L4)"
    assert list(scale([], NOTHING)) == [f"mask         {each}", f"video        {each}"]
    assert (gateway.cloud.calls["read-scale"], gateway.cloud.calls["set-scale"]) == (2, 0)


def test_what_is_set_is_read_back_and_the_rest_stays(gateway: Gateway) -> None:
    assert list(scale(["mask"], {**NOTHING, "workersMax": 7})) == [
        "mask         nap-endpoint: 0 to 7 workers (NVIDIA L4)"
    ]
    list(scale(["mask"], {**NOTHING, "workersMin": 1}))
    assert gateway.cloud.scale["nap-endpoint"] == {"workersMin": 1, "workersMax": 7}


def test_what_runpod_refuses_is_said_in_a_sentence(gateway: Gateway) -> None:
    with pytest.raises(Unavailable, match=r"did not do it for nap-endpoint \(400"):
        list(scale(["mask"], {**NOTHING, "workersMin": 9}))  # more than the most
    gateway.fail("read-scale", Fault(status=404))
    with pytest.raises(Unavailable, match="no endpoint nap-endpoint"):
        list(scale(["mask"], NOTHING))
    with pytest.raises(InvalidInput, match="sculpt is not done at RunPod"):
        list(scale(["sculpt"], NOTHING))


def test_the_command_shows_changes_and_refuses(gateway: Gateway, processes: Any) -> None:  # noqa: ARG001 - it must run
    changed = processes.start("packshot", "endpoints", "mask", "--max", "5", env=NO_SERVERS)
    nobody = processes.start("packshot", "endpoints", "--max", "7", env=NO_SERVERS)
    nothing = processes.start("packshot", "endpoints", env={**NO_SERVERS, "RUNPOD_ENDPOINTS": ""})
    assert [one.popen.wait(60) for one in (changed, nobody, nothing)] == [0, 2, 1]
    assert changed.said() == "mask         nap-endpoint: 0 to 5 workers (NVIDIA L4)\n"
    assert "Name the tools" in nobody.said()
    assert nothing.said() == "Error: No tool is done at RunPod: name its endpoints in RUNPOD_ENDPOINTS.\n"
