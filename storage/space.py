"""Room on our own disks: where it runs out, whoever asked is told so, and nothing half is left behind."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from tools.errors import DiskFull

#: No space left, a quota that is used up, a file larger than this process may write.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def is_full(error: BaseException | None) -> bool:
    """Tell whether a full disk is what it comes from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an error may be its own cause
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def roomy() -> Iterator[None]:
    """Tell a full disk in our words. Raises DiskFull."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise DiskFull from error
        raise
