"""What replicas share over Redis, where there is one: wake-ups and the pace of messages. Losing it costs time only."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from responder.ports.pace import Pace
from responder.ports.wake import Wake
from responder.settings import RedisSettings
from responder.worker import OnFact


@asynccontextmanager
async def shared_pace(redis: RedisSettings | None, own: Pace, on_fact: OnFact) -> AsyncIterator[Pace]:
    """Give the pace of all replicas together; ``own`` without a Redis."""
    if redis is None:
        yield own
        return
    from responder.clients.redis_pace import RedisPace

    shared = RedisPace(redis.url, partial(_failed, on_fact), redis.password)
    try:
        yield shared
    finally:
        await shared.close()


@asynccontextmanager
async def shared_wake(redis: RedisSettings | None, own: Wake, on_fact: OnFact) -> AsyncIterator[Wake]:
    """Give wake-ups that reach all replicas; ``own`` without a Redis."""
    if redis is None:
        yield own
        return
    from responder.clients.redis_wake import RedisWake

    shared = RedisWake(redis.url, own, partial(_failed, on_fact), redis.password)
    shared.start()
    try:
        yield shared
    finally:
        await shared.stop()


def _failed(on_fact: OnFact, error: str) -> None:
    on_fact("redis_unavailable", error=error)
