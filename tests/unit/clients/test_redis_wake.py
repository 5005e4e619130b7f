"""Wake-ups over a real Redis, and without one."""

import asyncio

import pytest

from responder.clients import redis_wake as module
from responder.clients.redis_wake import RedisWake
from responder.ports.wake import Queue
from responder.worker import LocalWake
from tests.bed.processes import free_port
from tests.bed.waiting import eventually


class _Heard(LocalWake):
    """Local wake-ups that remember what they were told."""

    def __init__(self) -> None:
        super().__init__()
        self.queues: list[str] = []

    def notify(self, queue: Queue) -> None:
        self.queues.append(queue)
        super().notify(queue)


async def test_a_wake_up_reaches_the_other_replica(redis_url: str) -> None:
    here, there = _Heard(), _Heard()
    one, other = RedisWake(redis_url, here, print), RedisWake(redis_url, there, print)
    one.start()
    other.start()
    try:

        async def arrived() -> bool:
            one.notify("runs")
            return "runs" in there.queues

        await eventually(arrived)
    finally:
        await one.stop()
        await other.stop()


async def test_without_redis_local_workers_are_woken_at_once() -> None:
    failures: list[str] = []
    here = LocalWake()
    wake = RedisWake(f"redis://127.0.0.1:{free_port()}/0", here, failures.append)
    wake.start()
    try:
        waiting = asyncio.create_task(wake.wait("runs", 30))
        await asyncio.sleep(0)
        wake.notify("runs")
        async with asyncio.timeout(1):
            await waiting
        await eventually(lambda: failures)
    finally:
        await wake.stop()


async def test_a_failure_is_told_once_it_repeats_itself_and_not_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(module, "TOLD_EVERY", 1_000_000)
    failures: list[str] = []
    told_before: list[int] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told_before.append(len(failures))
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", port := free_port()):
        wake = RedisWake(f"redis://127.0.0.1:{port}/0", LocalWake(), failures.append)
        wake.start()
        try:
            await eventually(lambda: len(told_before) > 5)
        finally:
            await wake.stop()
    assert told_before[:3] == [0, 0, 1], "not after the first failure"
    assert len(failures) == 1
