"""The workers, the watcher and a client, with the points in them."""

import logging
import os
from pathlib import Path

from tasks import watch
from tests.failpoints import deeds, ledger, points
from tests.rig import app

__all__ = ["app"]

points.install()
if os.environ[points.ROLE] == "gpu":
    ledger.install()

if __name__ == "__main__":
    if os.environ[points.ROLE] == "watch":
        watch.main()
    else:
        logging.basicConfig(level="INFO")
        deeds.serve(Path(os.environ[points.FOLDER], "asks"))
