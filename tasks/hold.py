"""Keeps a job for the worker that prepares it, for as long as that worker lives."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from uuid import UUID

from db import preparing
from tools.errors import Unavailable

logger = logging.getLogger(__name__)

#: Seconds after which a hold is renewed: often within its lease, as the database may be away for a while.
RENEW_S = preparing.LEASE_S / 3


@contextmanager
def held(job_id: UUID) -> Iterator[bool]:
    """Hold a job; False: another worker does."""
    mine, over = preparing.begin(job_id), Event()
    renewing = Thread(target=renew, args=(job_id, over), name=f"hold {job_id}", daemon=True)
    if mine:
        renewing.start()
    try:
        yield mine
    finally:
        over.set()
        if mine:
            renewing.join()


def renew(job_id: UUID, over: Event) -> None:
    """Renew the hold until it is over; a database that is away is asked again."""
    while not over.wait(RENEW_S):
        try:
            preparing.renew(job_id)
        except Unavailable as error:
            logger.debug("the hold of %s could not be renewed: %s", job_id, error)
        except Exception:  # without a next try another worker would begin the same
            logger.exception("the hold of %s could not be renewed", job_id)
