"""`packshot endpoints`: what RunPod may spend on each tool, shown and set."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import NO_SERVERS
from tests.gateway.cloud import Fault
from tests.gateway.gateway import Gateway


@pytest.fixture(name="gateway")
def have_gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    gateway.start()
    yield gateway
    gateway.stop()


def packshot(processes: Any, gateway: Gateway, *arguments: str, **env: str) -> tuple[int, str]:
    here = {**NO_SERVERS, **gateway.customer_env("mask", "video"), **env}
    started = processes.start("packshot", "endpoints", *arguments, env=here)
    return started.popen.wait(60), started.said()


def test_all_endpoints_are_shown_and_none_is_changed(processes: Any, gateway: Gateway) -> None:
    code, said = packshot(processes, gateway)
    each = "nap-endpoint: 0 to 3 workers (NVIDIA L4)"
    assert (code, said.splitlines()) == (0, [f"mask         {each}", f"video        {each}"])
    assert (gateway.cloud.calls["read-scale"], gateway.cloud.calls["set-scale"]) == (2, 0)


def test_what_is_set_is_read_back_and_the_rest_stays(processes: Any, gateway: Gateway) -> None:
    code, said = packshot(processes, gateway, "mask", "--max", "7")
    assert (code, said) == (0, "mask         nap-endpoint: 0 to 7 workers (NVIDIA L4)\n")
    assert packshot(processes, gateway, "mask", "--min", "1")[1] == (
        "mask         nap-endpoint: 1 to 7 workers (NVIDIA L4)\n"
    )
    assert gateway.cloud.scale["nap-endpoint"] == {"workersMin": 1, "workersMax": 7}


def test_what_cannot_be_done_is_said_in_a_sentence(processes: Any, gateway: Gateway) -> None:
    assert "Name the tools" in packshot(processes, gateway, "--max", "7")[1]
    assert "sculpt is not done at RunPod" in packshot(processes, gateway, "sculpt")[1]
    nothing = packshot(processes, gateway, RUNPOD_ENDPOINTS="")
    assert nothing == (1, "Error: No tool is done at RunPod: name its endpoints in RUNPOD_ENDPOINTS.\n")
    refused = packshot(processes, gateway, "mask", "--min", "9")  # more than the most
    assert refused[0] == 1
    assert "RunPod did not do it for nap-endpoint (400" in refused[1]
    gateway.fail("read-scale", Fault(status=404))
    assert "RunPod has no endpoint nap-endpoint" in packshot(processes, gateway, "mask")[1]
