"""The pace of all replicas together, over Redis; of this process alone while Redis is down or slow."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from responder.clients.pace import LocalPace
from responder.ports.pace import Beat

PREFIX = "responder:pace:"
TIMEOUT_SECONDS = 0.25
"""A slow Redis must not slow anything down: after that the answer is this process's own."""
AGAIN_SECONDS = 2.0
"""So long Redis is left alone after a failure: a storm of messages must not wait a quarter of a second each."""
TOLD_EVERY = 30

TURN = """
local now = redis.call('TIME')
local at = now[1] * 1000 + math.floor(now[2] / 1000)
local every, burst, patience = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local free = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), at - (burst - 1) * every)
local wait = math.max(0, free - at)
if wait <= patience then
  redis.call('SET', KEYS[1], string.format('%d', free + every), 'PX', math.max(1, wait + every))
end
return wait
"""
"""KEYS: the key. ARGV: every, burst, patience. All in milliseconds of Redis's own clock; returns the wait."""
REST = """
local now = redis.call('TIME')
local till = now[1] * 1000 + math.floor(now[2] / 1000) + tonumber(ARGV[1])
if till > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], string.format('%d', till), 'PX', tonumber(ARGV[1]))
end
return 0
"""


class RedisPace:
    """Turns that replicas share (``ports.pace.Pace``)."""

    def __init__(
        self,
        url: str,
        on_failure: Callable[[str], None],
        password: str | None = None,
        *,
        timeout: float = TIMEOUT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_failure`` hears why Redis could not be used; the process then keeps its own pace."""
        self._local = LocalPace(monotonic)
        self._on_failure = on_failure
        self._timeout = timeout
        self._monotonic = monotonic
        self._again_at = 0.0
        self._failures = 0
        self._redis: Redis = Redis.from_url(
            url,
            password=password,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    async def close(self) -> None:
        """Give the connections back."""
        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()

    async def turn(self, key: str, beat: Beat, patience: float) -> float:
        """Take the next turn of all replicas; what this process alone has used up needs no asking."""
        own = self._local.take(key, beat, patience)
        if own > patience:
            return own
        shared = await self._ask(TURN, key, _ms(beat.every), beat.burst, _ms(patience))
        return own if shared is None else max(own, shared)

    async def rest(self, key: str, seconds: float) -> None:
        """Let no replica have a turn before ``seconds`` from now."""
        self._local.hold(key, seconds)
        await self._ask(REST, key, max(_ms(seconds), 1))

    async def _ask(self, script: str, key: str, *given: int) -> float | None:
        """Return the seconds that Redis answers, None when it does not."""
        if self._monotonic() < self._again_at:
            return None
        try:
            async with asyncio.timeout(self._timeout):
                # Redis keeps a script that it has seen; by its text it works after a restart of Redis, too.
                answer = await self._redis.eval(script, 1, f"{PREFIX}{key}", *given)
        except (RedisError, OSError, TimeoutError) as error:
            self._failures += 1
            self._again_at = self._monotonic() + AGAIN_SECONDS
            if self._failures % TOLD_EVERY == 2:  # noqa: PLR2004 - the second: a first connection may take longer
                self._on_failure(f"messages are paced by each process alone: {str(error) or 'no answer'}")
            return None
        self._failures = 0
        return float(answer) / 1000


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
