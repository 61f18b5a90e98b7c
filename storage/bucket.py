"""The bucket: any S3 endpoint, spoken to through boto3, with its failures put into our words."""

import hashlib
import io
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from settings import settings
from storage.failures import told
from tools.errors import FileNotFound, StorageFailed, TooLarge

if TYPE_CHECKING:  # the stubs are installed for the type checker only
    from boto3.s3.transfer import TransferConfig
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES = 256 * 1024
MULTIPART_BYTES = 16 * 2**20

#: What a call may take in all while the server is away, stalled, or too busy, in seconds: three tries, and up to three
#: seconds between them. Of a large file each part has as much. A handler has more patience: see S3_PATIENCE_S.
BUDGET_S = 30.0
ATTEMPTS = 3
CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = (BUDGET_S - 3) / ATTEMPTS - CONNECT_TIMEOUT_S

UNTOLD = "application/octet-stream"
CONTENT_TYPES = {
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".zip": "application/zip",
}
SHOWN = ("Content-Type", "Content-Length", "Content-Range", "ETag", "Last-Modified")
ONE_RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)")


@dataclass(frozen=True)
class Stored:
    """A file in the bucket. `size` in bytes; `sha256` in hex, None when somebody else put it."""

    key: str
    size: int
    sha256: str | None
    content_type: str


@dataclass(frozen=True)
class Opened:
    """A file on its way out: the HTTP status (200, 206 or 416), the headers that go with it, and the bytes."""

    status: int
    headers: dict[str, str]
    body: Iterator[bytes]


@cache
def bucket() -> "Bucket":
    """Make the bucket of the settings, once per process. A boto3 client may be shared by threads."""
    import boto3  # noqa: PLC0415  # 0.3 s: importing the API must not wait for it
    from botocore.config import Config  # noqa: PLC0415  # the same

    given = settings()
    client = boto3.client(
        "s3",
        endpoint_url=given.s3_endpoint_url,
        region_name=given.s3_region,
        aws_access_key_id=given.aws_access_key_id.get_secret_value(),
        aws_secret_access_key=given.aws_secret_access_key.get_secret_value(),
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            # R2 and other servers do not know the newer checksums that boto3 sends unasked.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=50,
        ),
    )
    return Bucket(client, given.s3_bucket)


class Bucket:
    """One bucket. Every method raises StorageFailed when the server is away, and FileNotFound for a missing key."""

    def __init__(self, client: "S3Client", name: str) -> None:
        self._client = client
        self.name = name

    def put(
        self,
        key: str,
        body: bytes | Path,
        *,
        content_type: str | None = None,
        if_absent: bool = False,
    ) -> Stored:
        """Store bytes or a file, its sha256 beside it; the content type follows the key's ending when left out.

        With `if_absent` a key that is taken raises FileExistsError, as `open(path, "x")` does, and stays as it is. A
        retry after a lost answer finds its own first try: whoever must know reads what lies there.
        """
        with io.BytesIO(body) if isinstance(body, bytes) else body.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            content_type = content_type or CONTENT_TYPES.get(PurePosixPath(key).suffix, UNTOLD)
            about: dict[str, Any] = {"ContentType": content_type, "Metadata": {"sha256": digest}}
            with told(key):
                self._send(key, file, size, about, if_absent=if_absent)
        return Stored(key, size, digest, content_type)

    def head(self, key: str) -> Stored | None:
        """Look at a file without reading it; None when there is none."""
        try:
            with told(key):
                found = self._client.head_object(Bucket=self.name, Key=key)
        except FileNotFound:
            return None
        return Stored(key, found["ContentLength"], found["Metadata"].get("sha256"), found.get("ContentType", UNTOLD))

    def read(self, key: str, max_bytes: int) -> bytes:
        """Read a whole file into memory; TooLarge above `max_bytes`."""
        with told(key):
            found = self._client.get_object(Bucket=self.name, Key=key)
            with found["Body"] as body:
                if found["ContentLength"] > max_bytes:
                    raise TooLarge(f"The file {key} is larger than {max_bytes} bytes: give a smaller one.")
                return body.read()  # without a number: only then does botocore notice a body that breaks off

    def download(self, key: str, path: Path) -> Path:
        """Write a file to disk, in parallel parts when it is large; nothing is left at `path` when that fails."""
        with told(key):
            self._client.download_file(self.name, key, str(path), Config=in_parts())
        return path

    def open(self, key: str, range_header: str | None = None) -> Opened:
        """Open a file for streaming. `range_header` is HTTP's own; one range is served, more are not (416)."""
        asked = (range_header or "").strip()
        if asked.startswith("bytes=") and "," in asked:
            return Opened(416, {"Accept-Ranges": "bytes"}, iter(()))
        # A Range that makes no sense is ignored, says RFC 9110 14.2.
        span: dict[str, Any] = {"Range": asked} if ONE_RANGE.fullmatch(asked) else {}
        try:
            with told(key):
                found = self._client.get_object(Bucket=self.name, Key=key, **span)
        except IndexError:
            return Opened(416, self._no_such_range(key), iter(()))
        reply = found["ResponseMetadata"]
        headers = {name: reply["HTTPHeaders"][name.lower()] for name in SHOWN if name.lower() in reply["HTTPHeaders"]}
        return Opened(reply["HTTPStatusCode"], {**headers, "Accept-Ranges": "bytes"}, chunks(key, found["Body"]))

    def presign_get(self, key: str, seconds: int) -> str:
        """Make a URL that reads this key for so many seconds. It is a secret: do not log it."""
        return self._client.generate_presigned_url("get_object", {"Bucket": self.name, "Key": key}, seconds)

    def find(self, prefix: str) -> list[str]:
        """List the keys that begin so, at most a thousand."""
        with told(prefix):
            found = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return [one["Key"] for one in found.get("Contents", [])]

    def delete(self, key: str) -> None:
        """Remove a file; a key without a file is fine."""
        with told(key):
            self._client.delete_object(Bucket=self.name, Key=key)

    def ensure(self) -> None:
        """Create the bucket when it is missing: for our own servers, where nobody else does it."""
        with told(self.name):
            try:
                self._client.head_bucket(Bucket=self.name)
            except self._client.exceptions.ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                    raise
                self._client.create_bucket(Bucket=self.name)

    def ping(self) -> None:
        """Ask whether the bucket is there and lets us in; StorageFailed says which of the two it is not."""
        try:
            with told(self.name):
                self._client.head_bucket(Bucket=self.name)
        except FileNotFound as error:
            raise StorageFailed(f"There is no bucket {self.name}: create it, or correct S3_BUCKET.") from error

    def _send(self, key: str, file: BinaryIO, size: int, about: dict[str, Any], *, if_absent: bool) -> None:
        if if_absent:  # boto3's transfer, which sends large files in parts, knows no conditions
            about["IfNoneMatch"] = "*"
        if if_absent or size < MULTIPART_BYTES:  # nor are its threads worth their while for a small file
            self._client.put_object(Bucket=self.name, Key=key, Body=file, **about)
            return
        self._client.upload_fileobj(file, self.name, key, ExtraArgs=about, Config=in_parts())

    def _no_such_range(self, key: str) -> dict[str, str]:
        stored = self.head(key)
        return {"Accept-Ranges": "bytes", "Content-Range": f"bytes */{stored.size if stored else 0}"}


@cache
def in_parts() -> "TransferConfig":
    """Say how a large file travels."""
    from boto3.s3.transfer import TransferConfig  # noqa: PLC0415  # boto3 comes late, see bucket()

    return TransferConfig(
        MULTIPART_BYTES, max_concurrency=4, multipart_chunksize=MULTIPART_BYTES, num_download_attempts=ATTEMPTS
    )


def chunks(key: str, body: Any) -> Generator[bytes]:
    """Hand out a body piece by piece, and let its connection go at the end, also when the reader leaves early."""
    with told(key):
        try:
            yield from body.iter_chunks(CHUNK_BYTES)
        finally:
            body.close()
