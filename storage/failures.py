"""What S3 can fail with, in our words."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from outage import Outage
from tools.errors import FileNotFound, StorageFailed, StorageRefused

outage = Outage("The bucket", "what needs a file of it fails or waits until it is back")

#: An answer from here on may be another one next time; and so may these.
SERVER_ERROR, PASSING = 500, {408, 425, 429}


@contextmanager
def told(key: str) -> Generator[None]:
    """Tell a failure of S3 in our words: missing, taken, out of range, refused, or just not answering."""
    from boto3.exceptions import Boto3Error  # noqa: PLC0415  # boto3 comes late, see bucket.py
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # the same
    from urllib3.exceptions import HTTPError  # noqa: PLC0415  # the same

    try:
        yield
    except ClientError as error:
        raise in_our_words(key, error.response) from error
    except (BotoCoreError, Boto3Error, HTTPError) as error:
        outage.begin(type(error).__name__)
        raise StorageFailed(f"The bucket did not answer ({type(error).__name__}): try again soon.") from error
    outage.end()


def in_our_words(key: str, response: Any) -> Exception:
    """Choose the exception for an S3 error response."""
    status, code = response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]
    said = status if code == str(status) else f"{status} {code}"  # an answer to HEAD has no words
    match status:
        case 404 if code != "NoSuchBucket":
            return FileNotFound(f"There is no file at {key}: check the address, or make the file first.")
        case 412:
            return FileExistsError(key)
        case 416:
            return IndexError(key)
        case _ if status >= SERVER_ERROR or status in PASSING:
            outage.begin(f"it answers {said}")
            return StorageFailed(f"The bucket answered {said}: try again soon.")
        case _:
            return StorageRefused(f"The bucket answered {said}: check its name, its keys and their rights.")
