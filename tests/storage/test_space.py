"""A full disk is known by its errno, wherever in an error's causes it stands."""

import errno

from storage.space import is_full


def test_a_full_disk_is_found_along_the_causes_and_an_error_that_is_its_own_cause_has_none() -> None:
    full, own = OSError(errno.ENOSPC, "full"), ValueError("own")
    own.__cause__ = own
    other = RuntimeError("other")
    other.__context__ = full
    assert is_full(other)
    assert not is_full(own)
