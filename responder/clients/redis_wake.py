"""Wake-ups between replicas over Redis, which may be lost: without it, or while it is down, polling finds the work."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import get_args

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from responder.ports.wake import Queue, Wake

CHANNEL = "responder:wake"
TIMEOUT_SECONDS = 0.25
"""A slow Redis must not slow anything down (measured: the library's defaults wait for more than 3 s)."""
AGAIN_SECONDS = 2.0
TOLD_EVERY = 30
"""Of the failures in a row one in so many is told, once a minute, from the second on: at a start, which keeps the
machine busy, the first connection takes longer than ``TIMEOUT_SECONDS`` although Redis is well."""
QUEUES: Mapping[str, Queue] = {queue: queue for queue in get_args(Queue)}


class RedisWake:
    """Passes wake-ups on to the other replicas and theirs to the local workers (``ports.wake.Wake``)."""

    def __init__(self, url: str, local: Wake, on_failure: Callable[[str], None], password: str | None = None) -> None:
        """``on_failure`` hears why Redis could not be used; nothing else happens then."""
        self._local = local
        self._on_failure = on_failure
        self._redis: Redis = Redis.from_url(
            url,
            password=password,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._pending: set[Queue] = set()
        self._something = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self) -> None:
        """Begin to listen and to pass on."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._publish())]

    async def stop(self) -> None:
        """End both, also when the library has swallowed that they were cancelled, as it may while it connects."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()

    def notify(self, queue: Queue) -> None:
        """Wake the local workers now, the others as soon as Redis passes it on."""
        self._local.notify(queue)
        self._pending.add(queue)
        self._something.set()

    async def wait(self, queue: Queue, timeout: float) -> None:  # noqa: ASYNC109 - the wait itself is bounded by it
        """Wait as the local wake-ups do: those of other replicas arrive there too."""
        await self._local.wait(queue, timeout)

    def _failed(self, in_a_row: int, error: Exception) -> None:
        if in_a_row % TOLD_EVERY == 2:  # noqa: PLR2004 - the second, see TOLD_EVERY
            self._on_failure(str(error))

    async def _publish(self) -> None:
        failures = 0
        while not self._stopping:
            await self._something.wait()
            self._something.clear()
            queues, self._pending = self._pending, set()
            try:
                for queue in queues:
                    await self._redis.publish(CHANNEL, queue)
                failures = 0
            except (RedisError, OSError, TimeoutError) as error:
                failures += 1
                self._failed(failures, error)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _listen(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    failures = 0
                    while not self._stopping:
                        message = await channel.get_message(ignore_subscribe_messages=True, timeout=TIMEOUT_SECONDS)
                        if message and message["data"] in QUEUES:
                            self._local.notify(QUEUES[message["data"]])
            except (RedisError, OSError, TimeoutError) as error:
                failures += 1
                self._failed(failures, error)
                await asyncio.sleep(AGAIN_SECONDS)
