"""Listeners, and the events that are read once for all of them."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any
from uuid import UUID

from api.listening import ASK_S, Listening
from db.events import PAGE
from tools.errors import Unavailable

logger = logging.getLogger(__name__)

#: Seconds between two signs of life to each listener, so that nothing on the way takes the connection for dead.
PING_S = 15

#: Seconds in which notices gather before they are looked into: many at one moment are one statement.
GATHER_S = 0.01

#: Seconds after which all is looked into, rung for or not: a notice may be lost on a line that only seems to be there.
ALL_S = 5.0

#: Reads what happened to each after an event.
Read = Callable[[Mapping[UUID, int]], dict[UUID, list[dict[str, Any]]]]


@dataclass(frozen=True)
class Frame:
    """One event as it goes over the line."""

    id: int
    text: bytes
    ended: bool


def write(shown: Mapping[str, Any]) -> bytes:
    """Write a frame: its id, its kind, and all there is to know in one line of JSON."""
    kind = shown["event"] if shown["event"] in {"snapshot", "progress"} else "status"
    number = f"id: {shown['id']}\n" if shown["id"] else ""
    return f"{number}event: {kind}\ndata: {json.dumps(shown)}\n\n".encode()


class Listener(asyncio.Protocol):
    """Somebody who listens: a connection in the event loop, and the last event that was sent over it."""

    def __init__(self, feed: "Feed", wanted: UUID, last: int, *, chunked: bool) -> None:
        self.feed, self.wanted, self.last, self.chunked = feed, wanted, last, chunked
        self.transport: Any = None
        self.seated = self.full = False
        self.pinging: asyncio.TimerHandle | None = None

    @property
    def ready(self) -> bool:
        """Whether more can be sent now."""
        return self.transport is not None and not self.full and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: with what has happened since the listener was shown anything."""
        self.transport = transport
        self.pinging = self.feed.loop.call_later(PING_S, self.ping)
        self.feed.ring(self.wanted)

    def send(self, frames: Sequence[Frame]) -> None:
        """Send what the listener has not had yet, as far as the line takes it."""
        for frame in frames:
            if self.ready and frame.id > self.last:
                self.say(frame.text)
                self.last = frame.id
                if frame.ended:
                    self.end()

    def say(self, text: bytes) -> None:
        """Put text on the line."""
        self.transport.write(b"%x\r\n%s\r\n" % (len(text), text) if self.chunked else text)

    def ping(self) -> None:
        """Give a sign of life; let go who has not taken anything since the last one."""
        if self.full:
            self.transport.abort()
        elif self.ready:
            self.say(b": ping\n\n")
            self.pinging = self.feed.loop.call_later(PING_S, self.ping)

    def end(self) -> None:
        """Say that this is all, once it is sent; who goes on listening comes again."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"0\r\n\r\n" if self.chunked else b"")
            self.transport.close()

    def pause_writing(self) -> None:
        """Wait: the listener is slower than what happens, and nothing is kept for him but in the database."""
        self.full = True

    def resume_writing(self) -> None:
        """Go on."""
        self.full = False
        self.feed.ring(self.wanted)

    def connection_lost(self, _error: Exception | None) -> None:
        """Leave."""
        if self.pinging:
            self.pinging.cancel()
        self.feed.leave(self)


@dataclass(eq=False)
class Topic:
    """A job, or a flow, to which somebody listens."""

    ring: Callable[[], None]
    listeners: set[Listener] = field(default_factory=set)


class Feed:
    """All who listen to jobs, or to flows; what happened is read once for all of them, by one thread."""

    #: In which they all are.
    loop: asyncio.AbstractEventLoop

    def __init__(self, prefix: str, read: Read, listening: Listening, left: Callable[[], None]) -> None:
        self.prefix, self.read, self.listening, self.left = prefix, read, listening, left
        self.topics: dict[UUID, Topic] = {}
        self.rung: SimpleQueue[UUID] = SimpleQueue()
        self.lock = Lock()
        self.thread: Thread | None = None
        self.all_at = 0.0

    def join(self, listener: Listener) -> None:
        """Take in a listener."""
        wanted = listener.wanted
        with self.lock:
            if self.thread is None:
                self.thread = Thread(target=self.go_on, name=f"{self.prefix}feed", daemon=True)
                self.thread.start()
            if wanted not in self.topics:
                self.topics[wanted] = Topic(partial(self.ring, wanted))
                self.listening.add(f"{self.prefix}{wanted}", self.topics[wanted].ring)
            self.topics[wanted].listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        """Let a listener go."""
        with self.lock:
            topic = self.topics[listener.wanted]
            topic.listeners.discard(listener)
            if not topic.listeners:
                del self.topics[listener.wanted]
                self.listening.remove(f"{self.prefix}{listener.wanted}", topic.ring)
        self.left()

    def ring(self, wanted: UUID) -> None:
        """Have somebody look what happened."""
        self.rung.put(wanted)

    def go_on(self) -> None:
        """Look for ever, at all that was rung for at once; while the database is away, again and again."""
        try:
            while True:
                rung = self.gather()
                try:
                    self.look({wanted: last for wanted in rung if (last := self.find_last(wanted)) is not None})
                except Unavailable as error:
                    logger.debug("listeners wait for the database: %s", error)
                    sleep(ASK_S)
                    for wanted in rung:
                        self.ring(wanted)
        finally:  # by a mistake of ours: whoever listens shall not wait for ever, but come again
            self.thread = None
            self.loop.call_soon_threadsafe(self.end)

    def gather(self) -> set[UUID]:
        """Wait until somebody rings; give all that was rung for at that moment, and now and then all there is."""
        rung = set()
        with suppress(Empty):
            rung.add(self.rung.get(timeout=max(0.0, self.all_at - monotonic())))
        sleep(GATHER_S)
        while not self.rung.empty():
            rung.add(self.rung.get())
        if monotonic() > self.all_at:
            self.all_at = monotonic() + ALL_S
            with self.lock:
                rung |= self.topics.keys()
        return rung

    def find_last(self, wanted: UUID) -> int | None:
        """Find the event that the hindmost of the listeners has had; None if nobody can be sent anything."""
        with self.lock:
            topic = self.topics.get(wanted)
            return min((one.last for one in topic.listeners if one.ready), default=None) if topic else None

    def look(self, after: Mapping[UUID, int]) -> None:
        """Read what happened after these events, and have it sent. Raises Unavailable."""
        for wanted, told in (self.read(after) if after else {}).items():
            frames = [Frame(one["id"], write(one), one["ended"]) for one in told]
            self.loop.call_soon_threadsafe(self.send, wanted, frames)

    def send(self, wanted: UUID, frames: Sequence[Frame]) -> None:
        """Send frames to all who listen; look at once whether there are more than were read."""
        for listener in self.list_listeners(wanted):
            listener.send(frames)
        if len(frames) == PAGE:
            self.ring(wanted)

    def list_listeners(self, wanted: UUID | None = None) -> list[Listener]:
        """List all who listen, or those who listen to one."""
        with self.lock:
            topics = [topic for one, topic in self.topics.items() if wanted in {None, one}]
            return [listener for topic in topics for listener in topic.listeners]

    def end(self) -> bool:
        """End all streams well; False once none is left."""
        listeners = self.list_listeners()
        for listener in listeners:
            listener.end()
        return bool(listeners)
