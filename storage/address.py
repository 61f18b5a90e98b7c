"""The `r2://bucket/key` address: how it is written, and which of them a caller may name."""

import re
from dataclasses import dataclass

from settings import settings
from tools.errors import PathNotAllowed

#: Keys that a caller may name. `models/`, `claims/` and `results/` are the house's own: a LoRA comes by its model's id.
READABLE = ("uploads/", "datasets/", "generated/", "masks/")

MAX_KEY_BYTES = 512
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True)
class Address:
    """Where a file lies: a key in a bucket."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"r2://{self.bucket}/{self.key}"


def parse(text: str) -> Address:
    """Read `r2://bucket/key`, whose key must be plain; PathNotAllowed says what is wrong with it."""
    scheme, _, rest = text.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "r2" or not BUCKET_NAME.fullmatch(bucket) or not key:
        raise PathNotAllowed("Write the address as r2://bucket/key, for example r2://packshot/uploads/shoe.png.")
    check_key(key)
    return Address(bucket, key)


def readable(text: str) -> Address:
    """Read an address that a caller gave: it must lie in our bucket, under a prefix of READABLE."""
    address = parse(text)
    if address.bucket != settings().s3_bucket:
        raise PathNotAllowed(f"We read from the bucket {settings().s3_bucket} alone: copy the file there first.")
    if not address.key.startswith(READABLE):
        raise PathNotAllowed(f"Name a file under one of {', '.join(READABLE)}: other keys are not for callers to name.")
    return address


def ours(key: str) -> Address:
    """Name a key of our own bucket."""
    return Address(settings().s3_bucket, key)


def check_key(key: str) -> None:
    """Refuse a key that means one thing to S3, which takes it literally, and another to somebody after it."""
    if not key.isprintable() or "\\" in key or "%" in key:
        raise PathNotAllowed("The address holds a control character, a backslash or a %: use the plain key, unescaped.")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise PathNotAllowed(f"The address is too long: a key has at most {MAX_KEY_BYTES} bytes.")
    if any(segment in {"", ".", ".."} for segment in key.split("/")):
        raise PathNotAllowed("The address has an empty, '.' or '..' part: write the full key of one file.")
