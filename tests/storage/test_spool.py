"""A stream on its way in."""

import hashlib
import io

import pytest

from storage.spool import spool
from tools.errors import TooLarge


def test_a_stream_is_kept_and_hashed_for_as_long_as_the_block_lasts() -> None:
    data = bytes(range(256)) * 4096
    with spool(io.BytesIO(data), len(data)) as spooled:
        assert spooled.path.read_bytes() == data
        assert (spooled.sha256, spooled.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert not spooled.path.exists()


def test_a_stream_without_end_is_cut_at_the_limit() -> None:
    class Endless:
        given = 0

        def read(self, size: int, /) -> bytes:
            self.given += size
            return b"x" * size

    endless = Endless()
    with pytest.raises(TooLarge, match="larger than 1 MB: send"), spool(endless, 2**20):
        pass
    assert endless.given <= 2 * 2**20
