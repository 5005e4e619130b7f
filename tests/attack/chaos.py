"""``chaos``: five misfortunes under load, on PostgreSQL: every alert has its run, every effect lands once."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import aiohttp
import asyncpg

from tests.attack.load import Load, ends, judge_all
from tests.attack.scenarios import PLAYBOOKS
from tests.attack.verdict import Findings
from tests.bed.postgres import Cluster, Postgres, private_cluster
from tests.bed.target_process import target_process
from tests.process_bed import Responder, config, responder

ALERTS = 60
EVERY = 0.1
"""Seconds between two alerts: the misfortune falls into these six seconds."""
_FULL_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a misfortune happens."""

    server: Postgres
    url: str
    running: Responder

    @property
    def cluster(self) -> Cluster:
        """The server process."""
        assert self.server.server is not None
        return self.server.server


async def crash(scene: Scene) -> None:
    """The responder dies and comes back."""
    await asyncio.to_thread(scene.running.kill)
    await asyncio.to_thread(scene.running.start)


async def restart_postgres(scene: Scene) -> None:
    """PostgreSQL dies as with its machine, and comes back a moment later."""
    await asyncio.to_thread(scene.cluster.crash)
    await asyncio.sleep(1)
    await asyncio.to_thread(scene.cluster.start)


async def crash_again_and_again(scene: Scene) -> None:
    """The responder dies four times, each time a little later."""
    for seconds in (0.2, 0.5, 1.0, 1.5):
        await crash(scene)
        await asyncio.sleep(seconds)
    await crash(scene)


async def terminate_backends(scene: Scene) -> None:
    """An administrator ends every session of the responder, again and again."""
    for _ in range(8):
        await _terminate(scene)
        await asyncio.sleep(0.4)


async def too_many_connections(scene: Scene) -> None:
    """Others take every connection that there is, just when the responder has lost its own."""
    await _terminate(scene)
    taken: list[asyncpg.Connection[asyncpg.Record]] = []
    try:
        with contextlib.suppress(asyncpg.PostgresError, OSError):
            while True:
                taken.append(await asyncpg.connect(scene.server.url))
        await asyncio.sleep(_FULL_SECONDS)
    finally:
        for connection in taken:
            connection.terminate()


async def _terminate(scene: Scene) -> None:
    connection = await asyncpg.connect(scene.server.url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'responder' AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()


MISFORTUNES: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "crash": crash,
    "PostgreSQL restart": restart_postgres,
    "repeated crashes": crash_again_and_again,
    "terminated backends": terminate_backends,
    "too many connections": too_many_connections,
}


async def suffer(server: Postgres, misfortune: Callable[[Scene], Awaitable[None]], alerts: int = ALERTS) -> Findings:
    """Let one misfortune happen in the middle of a load, wait for the end of everything, and judge."""
    url = server.database()
    with target_process(settings={"latency_ms": 20}) as target:
        with responder(PLAYBOOKS, config(url, target.url, routes=[])) as running:
            await asyncio.to_thread(running.start)
            async with aiohttp.ClientSession() as session:
                load = Load([running.url], target, session)
                async with asyncio.TaskGroup() as group:
                    for number in range(alerts):
                        group.create_task(load.fire("helpless" if number % 2 else "kept", f"item-{number}"))
                        if number == alerts // 3:
                            group.create_task(_at_once(misfortune, Scene(server, url, running)))
                        await asyncio.sleep(EVERY)
                runs = await ends(running, load)
        return judge_all(load.items, runs, target.entries())


async def _at_once(misfortune: Callable[[Scene], Awaitable[None]], scene: Scene) -> None:
    await misfortune(scene)


async def chaos(say: Callable[[str], None], names: Iterable[str] = MISFORTUNES) -> tuple[int, int]:
    """Go through the misfortunes; returns how many were survived, and how many there were.

    All in one loop: what its threads start, PostgreSQL too, ends with them.
    """
    survived = tried = 0
    with private_cluster(durable=True) as server:
        for name in names:
            findings = (await suffer(server, MISFORTUNES[name])).every
            tried += 1
            survived += not findings
            say(f"{name}: {'survived' if not findings else '; '.join(findings[:5])}")
    return survived, tried


def line(survived: int, tried: int) -> str:
    """Return the line to quote."""
    what = ", ".join(MISFORTUNES)
    return f"{survived}/{tried} misfortunes under load survived ({what}): nothing lost, nothing repeated"
