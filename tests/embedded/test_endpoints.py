"""`packshot endpoints`: what RunPod may spend on each tool, shown and set."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from embedded.cli import main
from embedded.endpoints import scale
from settings import settings
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


def test_the_command_shows_changes_and_refuses(gateway: Gateway) -> None:  # noqa: ARG001 - it must run
    changed, nobody = (
        CliRunner().invoke(main, ["endpoints", *words]) for words in (["mask", "--max", "5"], ["--max", "7"])
    )
    assert (changed.exit_code, changed.output) == (0, "mask         nap-endpoint: 0 to 5 workers (NVIDIA L4)\n")
    assert (nobody.exit_code, "Name the tools" in nobody.output) == (2, True)


def test_where_nothing_is_done_at_runpod_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_ENDPOINTS", "")
    settings.cache_clear()
    nothing = CliRunner().invoke(main, ["endpoints"])
    settings.cache_clear()
    assert (nothing.exit_code, nothing.output) == (
        1, "Error: No tool is done at RunPod: name its endpoints in RUNPOD_ENDPOINTS.\n",
    )  # fmt: skip
