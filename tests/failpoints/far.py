"""A worker as RunPod runs it, with the points in our entry."""

from gpu_handlers import entry
from tests import nap  # noqa: F401 - it adds the tool
from tests.failpoints import ledger, points

points.install()
ledger.install()

if __name__ == "__main__":
    entry.main()
