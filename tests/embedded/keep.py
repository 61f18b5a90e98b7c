"""A program that writes to the three servers, kills them, and reads everything back on other ports: `keep.py DATA`."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import psycopg2
from botocore.config import Config

from embedded import valkey
from embedded.house import House, lived_in
from embedded.ports import Wishes
from embedded.servers import servers
from embedded.supervisor import Supervisor, silent, supervised


def main(data: Path) -> None:
    """Write, kill, and read; the second end is a peaceful one."""
    live(data, write, signal.SIGKILL)
    (data / "ports.json").unlink()
    live(data, read, signal.SIGCONT)
    print("kept")


def live(data: Path, act: Callable[[House], None], end: signal.Signals) -> None:
    """Start the servers, do something with them, and send each this signal."""
    with lived_in(data, Wishes()) as house, supervised(house.data, silent) as supervisor:
        supervisor.start(*servers(house, {}))
        act(house)
        as_whom(supervisor)
        for each in supervisor.running:
            os.kill(each.process.pid, end)


def write(house: House) -> None:
    """Write one thing to each."""
    with database(house) as connection:
        connection.cursor().execute("CREATE TABLE kept AS SELECT 'row' AS what")
    assert valkey.tell(house.ports["valkey"], house.secrets["valkey"], "INCRBY kept 7") == b":7"
    bucket(house).create_bucket(Bucket="kept")
    bucket(house).put_object(Bucket="kept", Key="a", Body=b"object", ContentType="image/png", Metadata={"seed": "7"})


def read(house: House) -> None:
    """Read it back."""
    with database(house) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT what FROM kept")
        assert cursor.fetchall() == [("row",)]
    assert valkey.tell(house.ports["valkey"], house.secrets["valkey"], "INCRBY kept 0") == b":7"
    found = bucket(house).get_object(Bucket="kept", Key="a")
    assert (found["Body"].read(), found["ContentType"], found["Metadata"]) == (b"object", "image/png", {"seed": "7"})


def as_whom(supervisor: Supervisor) -> None:
    """See that PostgreSQL runs as nobody under root, and everything else as we do."""
    for each in supervisor.running:
        uid = Path(f"/proc/{each.process.pid}").stat().st_uid
        theirs = 65534 if os.geteuid() == 0 and each.child.name == "postgres" else os.geteuid()
        assert uid == theirs, (each.child.name, uid)


def database(house: House) -> Any:
    """Connect to PostgreSQL."""
    return psycopg2.connect(house.env({})["DATABASE_URL"])


def bucket(house: House) -> Any:
    """Connect to the S3 server."""
    env = house.env({})
    return boto3.client(
        "s3", endpoint_url=env["S3_ENDPOINT_URL"], region_name="auto", config=Config(s3={"addressing_style": "path"}),
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
