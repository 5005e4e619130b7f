"""``pause``: a hundred runs are ready on two replicas, a person pulls the brake, and how late the last change comes.

All alerts come at once, and every run reads its target at the same time; the reads take their time by chance, so that
changes go out one after the other, on both replicas. In the midst of them all is paused, and a while later the pause is
lifted again: what was held back is made up for, and is ready for the next pause. An instant is the time at which the
pause was asked for: its commit is later, so that what is measured is at least as late as what counts.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import aiohttp
import asyncpg

from tests.attack.verdict import Findings
from tests.bed import ledger
from tests.bed.alerts import alert, webhook
from tests.bed.playbooks import change_item
from tests.bed.postgres import private_cluster
from tests.bed.target_process import TargetProcess, target_process
from tests.bed.waiting import eventually
from tests.process_bed import Responder, config, responder

RUNS = 1_000
READY = 100
"""So many runs are about to change something when the pause is asked for, or the round does not count."""
ROUNDS = 10
HOLDS_WITHIN = 1.0
"""Seconds behind a pause after which nothing begins that it covers."""
_BEGUN = 10
"""Changes that have reached the target when the first pause is asked for; twice as many at the second, and so on."""
_READS_MS = 4000
_WATCHED = 6.0
"""Seconds of a pause; whatever was being read when it came has been read by then."""
_PATIENCE = timedelta(seconds=120)
_BEFORE, _AFTER = 4, 5
_PLAYBOOK = change_item("good", within="10m", limits="  max_age: 1h\n")
_COMING = "SELECT count(*) FROM runs WHERE state = 'resolving'"
_OPEN = "SELECT count(*) FROM runs WHERE finished_at IS NULL"


@dataclass(frozen=True, slots=True)
class Round:
    """One pause. ``last``: seconds from when it was asked for until the last change of it began, 0 when none did."""

    ready: int
    behind: int
    last: float


@dataclass(slots=True)
class Report:
    """What the pauses came to."""

    runs: int
    rounds: list[Round] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    def line(self) -> str:
        """Return the line to quote."""
        behind, last = sum(one.behind for one in self.rounds), max((one.last for one in self.rounds), default=0.0)
        ready = min((one.ready for one in self.rounds), default=0)
        return (
            f"pause: {len(self.rounds)} pauses, at least {ready} runs ready on two replicas: {behind} changes began"
            f" behind them, the last {last:.2f} s behind ({HOLDS_WITHIN:.0f} s allowed), and"
            f" {self.runs} of {self.runs} were made once in the end; {len(self.findings.every)} findings"
        )


@dataclass(frozen=True, slots=True)
class _Stage:
    store: asyncpg.Connection
    target: TargetProcess
    replicas: Sequence[Responder]
    runs: int

    def changes(self) -> list[ledger.Entry]:
        """Return the requests that wanted a change, whatever came of them."""
        return [one for one in self.target.entries() if one.body.get("workers") == _AFTER]

    async def count(self, query: str) -> int:
        return int(await self.store.fetchval(query))


async def pause(runs: int, rounds: int, say: Callable[[str], None]) -> Report:
    """Pull the brake ``rounds`` times at most, as long as a hundred runs are ready; then let all of ``runs`` end."""
    report = Report(runs)
    async with _stage(runs) as stage:
        await _brake(stage.replicas[0])
        await _deliver(stage)
        for number in range(rounds):
            await _lift(stage.replicas[number % 2])
            one = await _round(stage, stage.replicas[(number + 1) % 2], _BEGUN * (number + 1))
            if one.ready < READY:
                break
            say(f"{one.ready} ready, {one.behind} began behind the pause, the last {one.last:.2f} s behind")
            report.rounds.append(one)
        await asyncio.to_thread(stage.target.settings, reads_ms=0)
        await _lift(stage.replicas[0])
        await _at_rest(stage)
        _judge(stage, report)
    return report


@contextlib.asynccontextmanager
async def _stage(runs: int) -> AsyncIterator[_Stage]:
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(private_cluster(durable=True)).database()
        target = stack.enter_context(target_process())
        await _make(target, runs)
        await asyncio.to_thread(target.settings, reads_ms=_READS_MS)
        settings = config(store, target.url, routes=[])
        replicas = [stack.enter_context(responder({"good.yaml": _PLAYBOOK}, settings, name)) for name in ("one", "two")]
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in replicas))
        connection = await asyncpg.connect(store)
        try:
            yield _Stage(connection, target, replicas, runs)
        finally:
            await connection.close()


async def _make(target: TargetProcess, runs: int) -> None:
    async with aiohttp.ClientSession() as session:
        for number in range(runs):
            async with session.put(f"{target.url}/admin/item-{number}", json={"workers": _BEFORE}) as answer:
                assert answer.status == 200


async def _deliver(stage: _Stage) -> None:
    """Deliver an alert for each item, and wait until each was decided about."""
    for first in range(0, stage.runs, READY):
        every = [
            alert(alertname="good", item=f"item-{number}") for number in range(first, min(first + READY, stage.runs))
        ]
        body = webhook(every, group_key=f"group-{first}")
        await asyncio.to_thread(stage.replicas[first // READY % 2].deliver, body)

    async def decided() -> bool:
        return await stage.count("SELECT count(DISTINCT episode_id) FROM decisions") == stage.runs

    await eventually(decided, _PATIENCE)


async def _brake(by: Responder) -> None:
    status, text = await asyncio.to_thread(by.call, "POST", "/api/v1/pauses", {"kind": "pause", "reason": "look"})
    assert status == 200, text


async def _lift(by: Responder) -> None:
    resumed = await asyncio.to_thread(by.cli, "resume", "all")
    assert resumed.stdout == "lifted 1\n", resumed.stderr


async def _round(stage: _Stage, by: Responder, begun: int) -> Round:
    """Let ``begun`` changes through, pause while more are about to begin, and see what comes behind."""
    there = len(stage.changes())

    async def under_way() -> bool:
        made = len(stage.changes())
        return made == stage.runs or (made >= there + begun and await stage.count(_COMING) >= READY)

    await eventually(under_way, _PATIENCE)
    ready, asked = await stage.count(_COMING), time.time()
    await _brake(by)
    await asyncio.sleep(_WATCHED)
    late = [one.began - asked for one in stage.changes() if one.began > asked]
    return Round(ready, len(late), max(late, default=0.0))


async def _at_rest(stage: _Stage) -> None:
    async def over() -> bool:
        return len(stage.changes()) >= stage.runs and not await stage.count(_OPEN)

    await eventually(over, _PATIENCE, timedelta(seconds=0.5))


def _judge(stage: _Stage, report: Report) -> None:
    """Nothing begins too late, and in the end each item was changed once."""
    found = report.findings
    found.violations += [
        f"round {number}: a change began {one.last:.2f} s behind the pause"
        for number, one in enumerate(report.rounds, 1)
        if one.last > HOLDS_WITHIN
    ]
    found.violations += ["no pause came upon a hundred runs"] * (not report.rounds)
    landed = Counter(one.name for one in stage.changes() if one.applied)
    found.lost += [f"item-{number}" for number in range(stage.runs) if not landed[f"item-{number}"]]
    found.repeated += [f"{count} × {name}" for name, count in landed.items() if count > 1]
