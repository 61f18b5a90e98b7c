"""The way to RunPod: one client for all threads of this process, in an event loop of its own."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

import aiohttp

from settings import settings
from tools.errors import Unavailable

#: In seconds. All in all a call is over before anybody else may send the same attempt (db.runs.SEND_S).
TIMEOUT = aiohttp.ClientTimeout(total=20, connect=5, sock_connect=3, sock_read=10)

#: Connections, and threads for what cannot but block: the database and the bucket.
CONNECTIONS, THREADS = 200, 12

#: The most that is done at once in one statement.
MOST = 200

Item = TypeVar("Item")
Found = TypeVar("Found")


#: Two threads that need the loop first, at one moment, must not each make one: a client works in its own loop alone.
making = Lock()


def loop() -> asyncio.AbstractEventLoop:
    """Give the event loop of this process, which runs from then on."""
    with making:
        return begin()


@cache
def begin() -> asyncio.AbstractEventLoop:
    """Run an event loop."""
    made = asyncio.new_event_loop()
    made.set_default_executor(ThreadPoolExecutor(THREADS, "wire"))
    Thread(target=made.run_forever, name="wire", daemon=True).start()
    return made


def wait(call: Coroutine[Any, Any, Found]) -> Found:
    """Have a call made, and wait for it."""
    return asyncio.run_coroutine_threadsafe(call, loop()).result()


@cache
def client() -> aiohttp.ClientSession:
    """Open the connections of this process; only inside of its loop."""
    key = settings().runpod_api_key.get_secret_value()
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=30)
    headers = {"Authorization": f"Bearer {key}"}
    return aiohttp.ClientSession(connector=connector, timeout=TIMEOUT, headers=headers, trust_env=True)


def close() -> None:
    """Close the connections; whoever calls next opens them anew."""
    if client.cache_info().currsize:
        wait(client().close())
        client.cache_clear()


class Together(Generic[Item, Found]):
    """Does at once for many what each of them asks for alone: who comes while it is done, is in the next go."""

    def __init__(self, do: Callable[[list[Item]], list[Found]]) -> None:
        self.do = do
        self.waiting: list[tuple[Item, asyncio.Future[Found]]] = []
        self.working: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Found:
        """Have it done for one; raises what doing it raised."""
        mine: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self.waiting.append((item, mine))
        if self.working is None:
            self.working = asyncio.create_task(self.work())
        return await mine

    async def work(self) -> None:
        """Do it until nobody waits."""
        while self.waiting:
            now, self.waiting = self.waiting[:MOST], self.waiting[MOST:]
            await self.go(now)
        self.working = None

    async def go(self, now: "list[tuple[Item, asyncio.Future[Found]]]") -> None:
        """Do it for these at once; where one of them is at fault, for each alone."""
        try:
            found = await asyncio.to_thread(self.do, [item for item, _ in now])
        except Exception as error:  # noqa: BLE001 - whoever asked hears of it
            if len(now) == 1 or isinstance(error, Unavailable):
                for _, one in now:
                    one.set_exception(error)
            else:
                for each in now:
                    await self.go([each])
        else:
            for (_, one), each_found in zip(now, found, strict=True):
                one.set_result(each_found)
