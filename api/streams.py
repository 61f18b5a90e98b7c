"""Streams of events: their connections in one event loop, whose thread is the only one that they all need."""

import asyncio
import atexit
import socket
from concurrent.futures import Future
from threading import BoundedSemaphore, Lock, Thread
from typing import Any

from api.feeds import Feed, Listener
from api.listening import Listening
from api.problems import TooManyListeners
from db import events

#: Who may listen at once: each needs a socket, and a process may often have no more than 1024.
MOST_LISTENERS = 512

#: Seconds after which somebody is let go who does not even acknowledge what he is sent.
GONE_S = 30

#: Seconds that the listeners have to take their last word when the process ends.
LAST_WORD_S = 2.0


class Streams:
    """The streams of one process."""

    #: Made with the first stream: by then the process is the one that keeps it.
    loop: asyncio.AbstractEventLoop

    def __init__(self, listening: Listening) -> None:
        self.places = BoundedSemaphore(MOST_LISTENERS)
        self.jobs = Feed("", events.read_jobs, listening, self.places.release)
        self.flows = Feed("flow ", events.read_flows, listening, self.places.release)
        self.lock = Lock()
        self.thread: Thread | None = None

    def reserve(self) -> None:
        """Keep a place for somebody. Raises TooManyListeners."""
        if not self.places.acquire(blocking=False):
            raise TooManyListeners

    def adopt(self, listener: Listener, sock: socket.socket) -> None:
        """Take in a listener who has a place, and the connection over which he listens."""
        listener.seated = True
        if hasattr(socket, "TCP_USER_TIMEOUT") and sock.family != socket.AF_UNIX:  # Linux has it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_S * 1000)
        self.start()
        listener.feed.join(listener)
        joining = self.loop.connect_accepted_socket(lambda: listener, sock)
        joined = asyncio.run_coroutine_threadsafe(joining, self.loop)
        joined.add_done_callback(lambda done: self.look(done, listener, sock))

    def give_back(self, listener: Listener) -> None:
        """Give back the place of somebody whose connection was never taken over."""
        if not listener.seated:
            self.places.release()

    def look(self, joined: "Future[Any]", listener: Listener, sock: socket.socket) -> None:
        """Let go a listener whose connection was already broken."""
        if joined.exception() is not None:
            sock.close()
            listener.feed.leave(listener)

    def start(self) -> None:
        """Start the loop, once."""
        with self.lock:
            if self.thread is None:
                self.loop = self.jobs.loop = self.flows.loop = asyncio.new_event_loop()
                self.thread = Thread(target=self.loop.run_forever, name="streams", daemon=True)
                self.thread.start()
                atexit.register(self.end)

    def end(self) -> None:
        """End all streams well, and the loop: whoever listens comes again, to the process that follows."""
        with self.lock:
            atexit.unregister(self.end)
            if self.thread is not None:
                asyncio.run_coroutine_threadsafe(self.say_goodbye(), self.loop).result()
                self.loop.call_soon_threadsafe(self.loop.stop)
                self.thread.join()
                self.loop.close()
                self.thread = None

    async def say_goodbye(self) -> None:
        """Send everybody his last word, and wait until it is taken."""
        until = self.loop.time() + LAST_WORD_S
        while (self.jobs.end() | self.flows.end()) and self.loop.time() < until:
            await asyncio.sleep(0.01)
