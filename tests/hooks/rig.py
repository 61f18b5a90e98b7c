"""A watcher that is killed between the sending of a delivery and its mark, every so often, and is there again at once.

Each life is a fork of one process that has loaded everything: it costs no second of imports, and is a process all the
same. One line is printed for each death.
"""

import itertools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from tasks import watch
from tests.failpoints.points import put

#: Names the variable that says how many sendings a life lasts.
EVERY = "HOOKS_EVERY"


def mortal(post: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the sending, so that its process is killed before anybody hears of it, if it is time."""
    count = itertools.count(1)

    def post_and_die(*args: Any, **kwargs: Any) -> Any:
        answer = post(*args, **kwargs)
        if next(count) % int(os.environ[EVERY]) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return post_and_die


def main() -> None:
    """Live again and again, until somebody says that it is enough."""
    while True:
        process = os.fork()
        if process == 0:
            put("storage.post:post", mortal)
            watch.main()
            return
        pass_on(process)
        if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) != -signal.SIGKILL:
            return
        print("killed", file=sys.stderr, flush=True)


def pass_on(process: int) -> None:
    """Let whoever ends us end it."""
    signal.signal(signal.SIGTERM, lambda *_: os.kill(process, signal.SIGTERM))


if __name__ == "__main__":
    main()
