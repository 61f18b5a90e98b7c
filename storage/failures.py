"""What S3 can fail with, in our words."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from tools.errors import FileNotFound, StorageFailed


@contextmanager
def told(key: str) -> Generator[None]:
    """Tell a failure of S3 in our words: missing, taken, out of range, or just not answering."""
    from boto3.exceptions import Boto3Error  # noqa: PLC0415  # boto3 comes late, see bucket.py
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # the same
    from urllib3.exceptions import HTTPError  # noqa: PLC0415  # the same

    try:
        yield
    except ClientError as error:
        raise in_our_words(key, error.response) from error
    except (BotoCoreError, Boto3Error, HTTPError) as error:
        raise StorageFailed(f"The bucket did not answer ({type(error).__name__}): try again soon.") from error


def in_our_words(key: str, response: Any) -> Exception:
    """Choose the exception for an S3 error response."""
    status, code = response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]
    match status:
        case 404 if code != "NoSuchBucket":
            return FileNotFound(f"There is no file at {key}: check the address, or make the file first.")
        case 412:
            return FileExistsError(key)
        case 416:
            return IndexError(key)
        case _:
            return StorageFailed(f"The bucket answered {status} {code}: try again soon, or check its keys and rights.")
