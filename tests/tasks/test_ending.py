"""What an end costs."""

import pytest

from db.runs import Meter
from tasks.ending import own_meter
from tools.outcome import Outcome


@pytest.mark.parametrize(("engine", "execution_ms"), [("gpu", 1234), ("preview", 0)])
def test_on_our_own_machines_a_gpus_time_counts_and_a_cpus_does_not(engine: str, execution_ms: int) -> None:
    assert own_meter(Outcome(engine=engine, seconds=1.2341)) == Meter(execution_ms=execution_ms)
