"""How much a key may: the bound itself is allowed, and nothing beyond it."""

from dataclasses import replace

import pytest

from tools.allowance import Allowance, BudgetSpent, QuotaReached, Usage, check

NOTHING = Usage(in_flight=1, reserved_s=0, day_s=0, month_s=0, day_left_s=3600.5, month_left_s=86400)


def refusal(allowance: Allowance, price: float = 0.0, **used: float) -> QuotaReached | BudgetSpent | None:
    """Give what is said of this usage."""
    try:
        check(allowance, replace(NOTHING, **used), price)  # type: ignore[arg-type]  # numbers all
    except (QuotaReached, BudgetSpent) as error:
        return error
    return None


def test_without_bounds_nothing_is_refused() -> None:
    assert refusal(Allowance(), 1.0, in_flight=10**6, day_s=10**9, month_s=10**9) is None


def test_as_many_jobs_as_are_allowed_and_not_one_more() -> None:
    assert refusal(Allowance(jobs_in_flight=2), in_flight=2) is None
    refused = refusal(Allowance(jobs_in_flight=2), in_flight=3)
    assert isinstance(refused, QuotaReached)
    assert refused.details["retry_after"] > 0


@pytest.mark.parametrize(("day_s", "reserved_s", "refused"), [
    (0, 0, False), (59.9, 0, False), (60, 0, True), (30, 30, False), (30, 31, True), (0, 60, False), (0, 61, True),
])  # fmt: skip
def test_the_seconds_of_a_day_count_with_those_that_may_still_come(
    day_s: float, reserved_s: float, *, refused: bool
) -> None:
    found = refusal(Allowance(gpu_seconds_per_day=60), day_s=day_s, reserved_s=reserved_s)
    assert (found is not None) is refused
    if found:
        assert (type(found), found.details["retry_after"]) == (QuotaReached, 3601)


def test_money_is_seconds_by_their_price() -> None:
    allowance = Allowance(money_per_month=10)
    assert refusal(allowance, 0.5, month_s=19.9) is None
    assert isinstance(refusal(allowance, 0.5, month_s=20), BudgetSpent)
    assert isinstance(refusal(allowance, 0.5, month_s=10, reserved_s=11), BudgetSpent)
    assert refusal(Allowance(money_per_month=10), 0.0, month_s=10**9) is None


def test_nothing_allowed_is_nothing_done() -> None:
    assert isinstance(refusal(Allowance(gpu_seconds_per_day=0)), QuotaReached)
    assert isinstance(refusal(Allowance(jobs_in_flight=0)), QuotaReached)
