"""What the holder of a key may do: scopes, how much of what, and how it is said that this was all."""

from dataclasses import dataclass

from tools.errors import ToolError

#: What a key is good for: to look, to have something done, and all else; `admin` includes the others.
SCOPES = ("read", "submit", "admin")

#: Seconds after which it is worth asking whether a job has ended.
IN_FLIGHT_S = 5


class KeyRequired(ToolError):
    """This needs a key: send it as Authorization: Bearer <key>; `packshot keys create` makes one."""

    code = "key_required"


class KeyRefused(ToolError):
    """This key is not known here, has expired or was revoked: `packshot keys create` makes a new one."""

    code = "key_refused"


class ScopeMissing(ToolError):
    """This key may not do that: take one whose scopes include it."""

    code = "scope_missing"


class QuotaReached(ToolError):
    """This key has as much under way as it may have, or has used up its GPU seconds of today: try again later."""

    code = "quota_reached"
    retryable = True


class BudgetSpent(ToolError):
    """The money of this key is spent for this month: whoever made the key can make one with more."""

    code = "budget_spent"


class GpuSecondsSpent(ToolError):
    """The GPU seconds that were allowed for this are spent: allow more by max_gpu_seconds, and do it again."""

    code = "gpu_seconds_spent"


@dataclass(frozen=True)
class Allowance:
    """How much a key may; None is no bound."""

    jobs_in_flight: int | None = None
    gpu_seconds_per_day: float | None = None
    money_per_month: float | None = None


@dataclass(frozen=True)
class Usage:
    """What a key has, with what is asked for now: seconds that are paid, and those that its jobs may still take."""

    in_flight: int
    reserved_s: float
    day_s: float
    month_s: float
    #: Seconds until the day and the month are over, which they are in UTC.
    day_left_s: float
    month_left_s: float


def check(allowance: Allowance, usage: Usage, price: float) -> None:
    """Refuse what goes beyond the allowance, at a price per GPU second. Raises QuotaReached, BudgetSpent."""
    most, day, money = allowance.jobs_in_flight, allowance.gpu_seconds_per_day, allowance.money_per_month
    if most is not None and usage.in_flight > most:
        detail = f"This key may have {most} jobs under way, and has as many: wait until one has ended."
        raise QuotaReached(detail, {"retry_after": IN_FLIGHT_S})
    if day is not None and beyond(day, usage.day_s, usage.reserved_s):
        detail = f"This key may use {day:g} GPU seconds a day, and has none left for this: try again tomorrow (UTC)."
        raise QuotaReached(detail, {"retry_after": round_up(usage.day_left_s)})
    if money is not None and beyond(money, usage.month_s * price, usage.reserved_s * price):
        detail = f"This key may spend {money:g} a month, and has nothing left for this: ask for a key with more."
        raise BudgetSpent(detail, {"retry_after": round_up(usage.month_left_s)})


def beyond(most: float, spent: float, reserved: float) -> bool:
    """Tell whether nothing is left, or less than what may still be taken."""
    return spent >= most or spent + reserved > most


def round_up(seconds: float) -> int:
    """Give whole seconds, and never none."""
    return int(seconds) + 1
