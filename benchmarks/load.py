"""A load generator: some connections that are kept alive, each asking again as soon as it has its answer.

Runs as a program of its own, so that its own work does not share the interpreter of whoever measures.
"""

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from threading import Thread

CONNECTIONS = 16


def measure(port: int, method: str, path: str, body: str = "", *, seconds: float, expect: int) -> float:
    """Ask for so many seconds; answers per second. Raises RuntimeError if an answer has another status."""
    command = [sys.executable, "-m", "benchmarks.load", str(port), method, path, body, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - the command is ours
    told = json.loads(done.stdout)
    if set(told["statuses"]) != {str(expect)}:
        raise RuntimeError(f"{method} {path} answered {told['statuses']}")
    return float(told["statuses"][str(expect)] / told["seconds"])


def request(method: str, path: str, body: str) -> bytes:
    """Write the request down, once."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n"
    return f"{head}\r\n{body}".encode()


def ask(port: int, message: bytes, until: float, statuses: Counter[int]) -> None:
    """Ask again and again over one connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line, line.makefile("rb") as answers:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while time.monotonic() < until:
            line.sendall(message)
            status, length = int(answers.readline().split()[1]), 0
            while (header := answers.readline()) not in {b"\r\n", b""}:
                if header.lower().startswith(b"content-length:"):
                    length = int(header[15:])
            answers.read(length)
            statuses[status] += 1


def main(port: str, method: str, path: str, body: str, seconds: str) -> None:
    """Ask over all connections, and print what came back."""
    message, began, counts = request(method, path, body), time.monotonic(), [Counter[int]() for _ in range(CONNECTIONS)]
    threads = [Thread(target=ask, args=(int(port), message, began + float(seconds), each)) for each in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"seconds": time.monotonic() - began, "statuses": sum(counts, Counter())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
