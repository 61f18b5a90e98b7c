"""Many who listen at once, as a program of its own: what each heard, and how late."""

import asyncio
import json
import subprocess
import sys
import time
from datetime import datetime
from typing import Any

from tests.ear import Ear, ask_for


def start(port: int, paths: list[str], *, at_once: int) -> "subprocess.Popen[str]":
    """Let somebody listen to each path, so many of them beginning at one moment; returns once all have begun."""
    command = [sys.executable, "-m", "benchmarks.ears", str(port), json.dumps(paths), str(at_once)]
    listening = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - the command is ours
    if listening.stdout is None or listening.stdout.readline() != "all listen\n":
        raise RuntimeError("not all who were to listen could")
    return listening


def finish(listening: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    """Wait until all streams have ended; give what each heard."""
    return list(json.loads(listening.communicate()[0]))


async def listen(port: int, path: str, begun: asyncio.Semaphore) -> dict[str, Any]:
    """Listen to the end; note how long after it was written each event is heard."""
    ear, late, late_s = Ear(), 0, list[float]()
    answers, line = await asyncio.open_connection("127.0.0.1", port)
    line.write(ask_for(path))
    while piece := await answers.read(65536):
        had = len(ear.frames)
        ear.hear(piece)
        if had == 0 and ear.frames:
            begun.release()
            late = len(ear.frames)
        now = time.time()
        heard = ear.frames[max(had, late) :]
        late_s += [now - datetime.fromisoformat(frame["data"]["at"]).timestamp() for frame in heard]
    line.close()
    return {
        "path": path, "status": ear.status, "since": ear.frames[0]["id"] if ear.frames else None, "ids": ear.ids,
        "ended": ear.ended and ear.whole, "late_s": late_s,
    }  # fmt: skip


async def main(port: str, listed: str, at_once: str) -> None:
    """Listen to each of these paths, say when all have begun, and print what was heard."""
    paths, begun = json.loads(listed), asyncio.Semaphore(int(at_once))
    listeners = []
    for path in paths:
        await begun.acquire()
        listeners.append(asyncio.create_task(listen(int(port), path, begun)))
    for _ in range(int(at_once)):
        await begun.acquire()
    print("all listen", flush=True)
    print(json.dumps(await asyncio.gather(*listeners)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
