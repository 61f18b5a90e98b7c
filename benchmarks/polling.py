"""Callers who poll at a steady rate, as a program of its own; each answer is timed.

`load.py` asks as often as it can; here the rate is given, and it is asked how long an answer takes meanwhile.
"""

import json
import socket
import subprocess
import sys
import time
from threading import Thread

from benchmarks.load import request

CONNECTIONS = 5


def start(port: int, path: str, *, rate: float, seconds: float) -> "subprocess.Popen[str]":
    """Start to poll."""
    command = [sys.executable, "-m", "benchmarks.polling", str(port), path, str(rate), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - the command is ours


def finish(polling: "subprocess.Popen[str]") -> list[tuple[int, float]]:
    """Give the status of each answer, and how many seconds it took."""
    told = json.loads(polling.communicate()[0])
    return [(int(status), float(took_s)) for status, took_s in told]


def ask(port: int, message: bytes, times: list[float], answers: list[tuple[int, float]]) -> None:
    """Ask at these times, over one connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line, line.makefile("rb") as answer:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in times:
            time.sleep(max(0.0, at - time.monotonic()))
            began = time.monotonic()
            line.sendall(message)
            status, length = int(answer.readline().split()[1]), 0
            while (header := answer.readline()) not in {b"\r\n", b""}:
                if header.lower().startswith(b"content-length:"):
                    length = int(header[15:])
            answer.read(length)
            answers.append((status, time.monotonic() - began))


def main(port: str, path: str, rate: str, seconds: str) -> None:
    """Poll over all connections in turn, and print what came back."""
    began, answers = time.monotonic() + 0.1, list[tuple[int, float]]()
    times = [began + n / float(rate) for n in range(int(float(rate) * float(seconds)))]
    message = request("GET", path, "")
    threads = [
        Thread(target=ask, args=(int(port), message, times[n::CONNECTIONS], answers)) for n in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
