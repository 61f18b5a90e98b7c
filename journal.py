"""How this process logs: lines with ids that lead from a request to its handler, and no secret in any of them."""

import logging
import re
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr
from structlog.contextvars import bind_contextvars, bound_contextvars, clear_contextvars, merge_contextvars
from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level

from settings import Settings, settings

#: What stands in place of a secret.
HIDDEN = "[hidden]"

#: Keys of the API, whosever they are: all but the prefix, by which one is found and revoked.
API_KEY = re.compile(r"(packshot_[0-9a-f]{12}_)[\w-]{16,}")

#: Characters that could end a line, or move a terminal's cursor.
UNPRINTABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")

#: A secret shorter than this is a word of everybody's.
SHORTEST = 8

Event = MutableMapping[str, Any]


class Outlet(logging.Handler):
    """Writes lines to standard error, whatever that is just now."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as every handler of Python's own does: nobody fails for want of a line
            self.handleError(record)


def configure(level: str | int | None = None) -> None:
    """Log to standard error, at the level of the settings if none is given."""
    handler = Outlet()
    handler.setFormatter(formatter())
    root = logging.getLogger()
    root.handlers[:] = [*(other for other in root.handlers if not isinstance(other, Outlet)), handler]
    root.setLevel(level or settings().log_level)


def formatter() -> logging.Formatter:
    """Make what writes a line: JSON, or words with the ids behind them."""
    stamp = TimeStamper(fmt="iso", utc=True)
    write = JSONRenderer() if settings().log_format == "json" else write_line
    return ProcessorFormatter(
        foreign_pre_chain=[merge_contextvars, ExtraAdder(), leave_out, add_log_level, stamp, format_exc_info],
        processors=[ProcessorFormatter.remove_processors_meta, write, partial(hide, hider(settings()))],
    )


def begin(**ids: object) -> None:
    """Forget what lines were about, and name what they are about from here on."""
    clear_contextvars()
    bind_contextvars(**{name: str(value) for name, value in ids.items()})


def about(**ids: object) -> AbstractContextManager[Any]:
    """Name in every line that is logged meanwhile what it is about; what is None is not named."""
    return bound_contextvars(**{name: str(value) for name, value in ids.items() if value is not None})


#: What others put beside a line: a copy of it, and, by Celery, all that a task was told and came to.
UNSAID = ("message", "data")


def leave_out(_logger: object, _method: str, event: Event) -> Event:
    """Leave out what nobody shall read in a log."""
    for name in UNSAID:
        event.pop(name, None)
    return event


def write_line(_logger: object, _method: str, event: Event) -> str:
    """Write a line for people; only a traceback has more than one."""
    trace = event.pop("exception", None)
    words = f"{event.pop('timestamp')} {event.pop('level').upper()} {event.pop('event')}"
    line = " ".join([words, *(f"{name}={value}" for name, value in sorted(event.items()))])
    return "\n".join([UNPRINTABLE.sub(escape, line), *([str(trace)] if trace else [])])


def escape(found: re.Match[str]) -> str:
    """Write a character by its number."""
    return found[0].encode("unicode_escape").decode()


def hide(hidden: Callable[[str], str], _logger: object, _method: str, line: str) -> str:  # type: ignore[explicit-any,unused-ignore]  # structlog's own signature takes anything
    """Take the secrets out of a line that is written."""
    return hidden(line)


def hider(known: Settings) -> Callable[[str], str]:
    """Make what takes secrets out of a text."""
    words = sorted(set(secrets_of(known)), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, words))) if words else None

    def take_out(text: str) -> str:
        text = API_KEY.sub(rf"\g<1>{HIDDEN}", text)
        return pattern.sub(HIDDEN, text) if pattern else text

    return take_out


def secrets_of(known: Settings) -> Iterator[str]:
    """List the secrets of the settings; of an address, its password. Defaults are everybody's."""
    for name, field in type(known).model_fields.items():
        value = getattr(known, name)
        if not isinstance(value, SecretStr) or value == field.default:
            continue
        said = value.get_secret_value()
        password = urlsplit(said).password if "://" in said else said
        yield from (one for one in {password or "", unquote(password or "")} if len(one) >= SHORTEST)
