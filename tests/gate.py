"""A gate before a server: through it, the server can be away, silent, or ill, while it goes on for everybody else."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

from embedded.ports import HOST, any_free

PIECE = 65536


class Gate:
    """A way to `port`, open at first. Its own thread lets the bytes through."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = any_free(set())
        self.loop = asyncio.new_event_loop()
        self.flow = asyncio.Event()
        self.flow.set()
        self.answer: bytes | None = None
        self.left = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self.listening: asyncio.Server | None = None
        self.thread = Thread(target=self.loop.run_forever, name=f"gate to {port}", daemon=True)

    def open(self) -> None:
        """Let everything through, also what was held back."""
        self.do(self._open())

    def refuse(self) -> None:
        """Be away: nobody is at home, and whoever was connected is cut off."""
        self.do(self._close())

    def silence(self) -> None:
        """Take every connection and every byte, and answer nothing."""
        self.do(self._silence())

    def say(self, answer: bytes, times: int) -> None:
        """Give the next requests this HTTP answer in the server's place."""
        self.do(self._say(answer, times))

    def do(self, step: Coroutine[Any, Any, None]) -> None:
        """Do it in the gate's own thread."""
        asyncio.run_coroutine_threadsafe(step, self.loop).result(10)

    async def _open(self) -> None:
        self.answer = None
        self.flow.set()
        if self.listening is None:
            self.listening = await asyncio.start_server(self._pass, HOST, self.port)

    async def _close(self) -> None:
        if self.listening:
            self.listening.close()
            self.listening = None
        self._cut()

    async def _silence(self) -> None:
        await self._open()
        self.flow.clear()

    async def _say(self, answer: bytes, times: int) -> None:
        await self._open()
        self._cut()  # a request on an old connection would reach the server
        self.answer, self.left = answer, times

    def _cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        with suppress(OSError, EOFError):
            if self.answer and self.left > 0:
                await self._reply(reader, writer)
            else:
                await self._join(reader, writer)
        self.writers.discard(writer)
        writer.close()

    async def _reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        self.left -= 1
        if b"100-continue" not in head and b"content-length:" in head:
            await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        writer.write(self.answer or b"")
        await writer.drain()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, out = await asyncio.open_connection(HOST, self.target)
        self.writers.add(out)
        await asyncio.gather(self._pump(reader, out), self._pump(inner, writer))
        self.writers.discard(out)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(PIECE):
                await self.flow.wait()
                writer.write(piece)
                await writer.drain()
        finally:
            writer.close()


@contextmanager
def gated(port: int) -> Iterator[Gate]:
    """Put a gate before a server."""
    gate = Gate(port)
    gate.thread.start()
    gate.open()
    try:
        yield gate
    finally:
        gate.refuse()
        gate.do(end_all())
        gate.loop.call_soon_threadsafe(gate.loop.stop)
        gate.thread.join()
        gate.loop.close()


async def end_all() -> None:
    """End what still runs in this loop, but for this itself."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
