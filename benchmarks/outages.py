"""What happens while Redis, PostgreSQL or the bucket is away: each is stopped, frozen or flushed in earnest."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.report import Figure


def main() -> None:
    """Measure those that are named, or all, and keep what was found."""
    from benchmarks import outages_bucket, outages_database, outages_redis  # noqa: PLC0415 - they read the environment

    parts = {"redis": outages_redis.measure, "flush": outages_redis.measure_flush,
             "postgres": outages_database.measure, "s3": outages_bucket.measure}  # fmt: skip
    figures: list[Figure] = []
    for name in sys.argv[1:] or parts:
        with town() as (made, logs):
            figures += parts[name](made, logs)
        print(report.table(figures), flush=True)
    print(f"\nwritten to {report.write('outages', figures)}")


@contextmanager
def town() -> Iterator[tuple[Any, Path]]:
    """Run servers of our own, and name them in the environment of this process; gives them and a folder for logs."""
    from tests.town import built  # noqa: PLC0415 - the same

    for name in ("S3_BUCKET", "S3_REGION"):
        os.environ.pop(name, None)
    with built() as made:
        os.environ.update(made.env)
        forget()
        yield made, made.logs


def forget() -> None:
    """Let this process read the environment anew."""
    from db import base  # noqa: PLC0415 - the same
    from settings import settings  # noqa: PLC0415 - the same
    from storage.bucket import bucket  # noqa: PLC0415 - the same
    from tests.conftest import renew_celery  # noqa: PLC0415 - the same

    if settings.cache_info().currsize:
        base.engine().dispose()
        base.quick().dispose()
    for cached in (settings, base.engine, base.quick, base.sessions, bucket):
        cached.cache_clear()
    renew_celery()


if __name__ == "__main__":
    main()
