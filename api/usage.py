"""What was used, and what it cost."""

from datetime import UTC, date, datetime, timedelta

from flask import Blueprint, Response, jsonify, request

from api.callers import origin
from api.jobs import check_filters
from db import api_keys, usage
from settings import settings
from tools.allowance import ScopeMissing
from tools.errors import InvalidInput

blueprint = Blueprint("usage", __name__, url_prefix="/api/usage")

FILTERS = ("by", "since", "until", "key")

#: The days of which there is a month before and a day after.
FIRST, LAST = date(1900, 1, 1), date(9000, 1, 1)

#: Days that are told unless somebody asks for others, today included.
DAYS = 30


@blueprint.get("")
def get_usage() -> Response:
    """Add up GPU seconds, seconds in queues, and money of the jobs that ended from one day to another.

    A key hears of its own jobs; one of an admin of everybody's, or of those of the key that it names.
    """
    check_filters(FILTERS)
    today = datetime.now(UTC).date()
    until = read_day("until", today)
    since = read_day("since", until - timedelta(days=DAYS - 1))
    by = read_groups()
    key = read_key()
    key_id = None if key is None else api_keys.find_id(key)
    told = usage.read(by, midnight(since), midnight(until + timedelta(days=1)), key_id)
    prices = {tool: {"gpu": gpu, "usd_per_hour": settings().prices.get(gpu)} for tool, gpu in settings().gpus.items()}
    span = {"since": since.isoformat(), "until": until.isoformat()}
    return jsonify({**span, "key": key, "by": by, **told, "prices": prices})


def read_key() -> str | None:
    """Read of whose jobs to tell, as a key's prefix; None is everybody. Raises ScopeMissing."""
    named, caller = request.args.get("key"), origin().caller
    if caller is None or caller.may("admin"):
        return named
    if named not in {None, caller.prefix}:
        raise ScopeMissing("This key hears of its own use: leave key out, or take a key whose scopes include admin.")
    return caller.prefix


def read_groups() -> list[str]:
    """Read by what to add up."""
    by = [name.strip() for name in request.args.get("by", "day").split(",")]
    if (unknown := next((name for name in by if name not in usage.GROUPS), None)) is not None:
        raise InvalidInput.at("by", f"{unknown[:100]!r} is none of {', '.join(usage.GROUPS)}.")
    return list(dict.fromkeys(by))


def read_day(name: str, default: date) -> date:
    """Read a day from the query."""
    try:
        day = date.fromisoformat(request.args[name]) if name in request.args else default
    except ValueError:
        day = date.min
    if not FIRST <= day <= LAST:
        raise InvalidInput.at(name, "give a day like 2026-11-25; days are those of UTC.")
    return day


def midnight(day: date) -> datetime:
    """Say when a day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
