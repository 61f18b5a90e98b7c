"""`packshot flower`: Flower, which starts with a password alone, and only looks on."""

import logging
import os
import re
from collections.abc import Sequence

from settings import settings
from tools.errors import InvalidInput

#: Addresses of Flower's that change something; the others show.
ORDERS = re.compile(r"/api/(?:worker/|task/(?:apply|async-apply|send-task|abort|timeout|rate-limit|revoke)/)")

#: What Flower shows to everybody, password or not: the names of all workers and tasks.
UNGUARDED = re.compile(r"/metrics")

#: The shortest password.
SHORTEST = 12


def run(arguments: Sequence[str]) -> None:
    """Run Flower until it is ended. Raises InvalidInput if anybody could come in."""
    check(os.environ.get("FLOWER_BASIC_AUTH", ""), arguments)
    leave_out(UNGUARDED)
    looks_on = settings().flower_control == "off"
    if looks_on:
        leave_out(ORDERS)
    from tasks.app import app  # noqa: PLC0415 - only who may start pays for it

    logging.getLogger().handlers.clear()  # the command's own says nothing; with any there, Flower would add none
    # Read-only, it shows no buttons; what they ask for is taken away as well, as a button is not the only way to ask.
    app.start(["flower", *(["--read-only"] if looks_on else []), *arguments])


def check(users: str, arguments: Sequence[str]) -> None:
    """Refuse to start where somebody could come in without a password, or by one that is easily guessed."""
    passwords = [user.partition(":")[2] for user in users.split(",")]
    if any("basic" in one and "auth" in one for one in arguments):
        raise InvalidInput("Everybody on this machine can read arguments: name users in FLOWER_BASIC_AUTH.")
    if min(map(len, passwords)) < SHORTEST:
        raise InvalidInput(
            f"Flower shows every task: set FLOWER_BASIC_AUTH=user:password, with {SHORTEST} characters or more."
        )
    if os.environ.get("FLOWER_UNAUTHENTICATED_API"):
        raise InvalidInput("FLOWER_UNAUTHENTICATED_API lets everybody in: unset it.")


def leave_out(pages: re.Pattern[str]) -> None:
    """Take pages away: Flower then answers that there are none such."""
    from flower import urls  # noqa: PLC0415 - only who may start pays for it

    urls.handlers[:] = [handler for handler in urls.handlers if not pages.match(address(handler))]


def address(handler: object) -> str:
    """Read the address of one of Flower's pages, of which it has two forms."""
    pattern = getattr(handler, "regex", None)
    return str(pattern.pattern if pattern else handler[0])  # type: ignore[index]  # else it is a tuple
