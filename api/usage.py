"""What was used, and what it cost."""

from datetime import UTC, date, datetime, timedelta

from flask import Blueprint, Response, jsonify, request

from db import usage
from settings import settings
from tools.errors import InvalidInput, UnknownField

blueprint = Blueprint("usage", __name__, url_prefix="/api/usage")

FILTERS = ("by", "since", "until")

#: Days that are told unless somebody asks for others, today included.
DAYS = 30

#: Years that are told of: a calendar ends, and with it what can be counted from a day.
YEARS = range(2000, 3000)


@blueprint.get("")
def get_usage() -> Response:
    """Add up GPU seconds, seconds in queues, and money of the jobs that ended from one day to another."""
    if unknown := next((name for name in request.args if name not in FILTERS), None):
        raise UnknownField.at(unknown[:100], f"there is no such filter; there are {', '.join(FILTERS)}.")
    today = datetime.now(UTC).date()
    until = read_day("until", today)
    since = read_day("since", until - timedelta(days=DAYS - 1))
    by = read_groups()
    told = usage.read(by, midnight(since), midnight(until + timedelta(days=1)))
    prices = {tool: {"gpu": gpu, "usd_per_hour": settings().prices.get(gpu)} for tool, gpu in settings().gpus.items()}
    return jsonify({"since": since.isoformat(), "until": until.isoformat(), "by": by, **told, "prices": prices})


def read_groups() -> list[str]:
    """Read by what to add up."""
    by = [name.strip() for name in request.args.get("by", "day").split(",")]
    if unknown := next((name for name in by if name not in usage.GROUPS), None):
        raise InvalidInput.at("by", f"{unknown[:100]!r} is none of {', '.join(usage.GROUPS)}.")
    return list(dict.fromkeys(by))


def read_day(name: str, default: date) -> date:
    """Read a day from the query."""
    try:
        day = date.fromisoformat(request.args[name]) if name in request.args else default
    except ValueError:
        raise InvalidInput.at(name, "give a day like 2026-11-25; days are those of UTC.") from None
    if day.year not in YEARS:
        raise InvalidInput.at(name, f"give a day of the years from {YEARS[0]} to {YEARS[-1]}.")
    return day


def midnight(day: date) -> datetime:
    """Say when a day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
