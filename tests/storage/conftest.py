"""The bucket of the tests, and pictures to put into it."""

import io
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from PIL import Image

from storage.bucket import Bucket, bucket
from tests.storage.internet import fake_internet, make_certificate, run_stranger, run_tls
from tests.storage.zips import give_zipped, paint_good

#: Fixtures that stand beside what they make.
BESIDE = (fake_internet, run_stranger, make_certificate, run_tls, give_zipped, paint_good)

Painter = Callable[..., bytes]


@pytest.fixture(name="store", scope="session")
def open_bucket(s3: Mapping[str, str]) -> Bucket:
    """Give our bucket, on a real S3 server."""
    assert s3["S3_ENDPOINT_URL"]
    bucket.cache_clear()
    return bucket()


@pytest.fixture(name="paint", scope="session")
def give_paint() -> Painter:
    """Give the function that makes a picture file: `paint("JPEG", seed=1)`."""
    return paint


def paint(
    form: str = "PNG", mode: str = "RGB", *, size: tuple[int, int] = (48, 32), seed: int = 0, **how: object
) -> bytes:
    small = np.random.default_rng(seed).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode)
    out = io.BytesIO()
    image.save(out, form, **how)
    return out.getvalue()
