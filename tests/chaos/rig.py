"""The house with the two chores: what its worker and its watcher run."""

from tasks import run, watch  # noqa: F401 - run is what makes a task of each tool
from tasks.app import app
from tests.chaos.chores import CHORES

__all__ = ["CHORES", "app"]

if __name__ == "__main__":
    watch.main()
