"""``resume``: ten thousand unfinished runs, ``kill -9``, and how long it takes until everything that is due goes on.

Four in ten wait for a yes, half for the next look of their verification; the rest has just arrived and is at work when
the process dies. It is started again at once. A run has resumed when a turn of it was saved since: claimed, taken
further, and due again; one that is not due yet need not. The end is the moment from which no run has been due for more
than a second without its turn: those that wait for their next look become due all the while, and one that is taken up
within the second does not wait.

Then it is killed a second time, and stays dead until every look is overdue.
"""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from tests.attack.verdict import Findings
from tests.bed.alerts import alert, webhook
from tests.bed.playbooks import change_item
from tests.bed.postgres import private_cluster
from tests.bed.processes import private_directory
from tests.bed.target_process import TargetProcess, target_process
from tests.bed.waiting import eventually
from tests.process_bed import WEBHOOK_TOKEN, Responder, config, responder

RUNS = 10_000
TARGET_SECONDS = 10.0
LOOKS_OVERDUE = 16.0
"""Seconds after which every look is overdue."""
WITHIN = "20m"
"""How long verifications last: none ends meanwhile. A twentieth of it, and at most 15 s, lies between two looks."""
FILL = timedelta(minutes=15)
"""How long making the runs may take: those that are there already look at their targets all the while."""
SETTLE = timedelta(minutes=5)
_PER_WEBHOOK = 50
LATE = 1.0
"""Seconds after which a run that is due, and had no turn, is overdue."""
FLYING = 45.0
"""Seconds after the start until also what may have been on its way must have been looked at."""
_EVERY = 0.5
"""Seconds between two looks at the store: all of it is read, and that takes from what the responder has."""
_SLOW_MS = 100
"""How long the target takes for an answer when the responder is killed."""
_SENDERS = 16
_ROWS = "SELECT id, state, due_at, lease_until, finished_at FROM runs"
_SENDING = "SELECT run_id FROM records WHERE state IN ('intended', 'undo_intended')"
_PLAYBOOKS = {
    f"{name}.yaml": change_item(name, mode=mode, wanted=99, within=WITHIN)
    for name, mode in (("asks", "approve"), ("patient", "auto"))
}


@dataclass(frozen=True, slots=True)
class Row:
    """A run as the store has it."""

    state: str
    due_at: float
    leased: bool
    finished: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What a death came to. All times are seconds from the start of the next process.

    ``taken_up``: until no run was overdue (due for more than a second), those left out whose change may have been on
    its way; ``settled``: until these had their turn, too. ``turns``: runs that had one by then; ``held``: those that
    the dead process had claimed.
    """

    store: str
    down: float
    states: Mapping[str, int]
    turns: int
    held: int
    sending: int
    ready: float
    taken_up: float
    settled: float
    findings: Findings

    def line(self) -> str:
        """Return the line to quote."""
        states = ", ".join(f"{count:,} {state}" for state, count in sorted(self.states.items()))
        flying = f"; {self.sending} changes that were on their way after {self.settled:.1f} s" if self.sending else ""
        return (
            f"{self.store}: {sum(self.states.values()):,} unfinished runs ({states}), {self.held} claimed, kill -9,"
            f" dead for {self.down:.0f} s: none overdue {self.taken_up:.1f} s after the start (ready after"
            f" {self.ready:.1f} s, {self.turns:,} turns){flying}; {len(self.findings.every)} findings"
        )


@dataclass(slots=True)
class _Stage:
    store: str
    target: TargetProcess
    running: Responder
    session: aiohttp.ClientSession
    items: int = 0
    playbooks: dict[str, str] = field(default_factory=dict)


async def resume(
    kind: str,
    runs: int,
    say: Callable[[str], None],
    *,
    within: str = WITHIN,
    flying: float = FLYING,
    down: Sequence[float] = (0.0, LOOKS_OVERDUE),
) -> Sequence[Report]:
    """Bring ``runs`` runs into a store of ``kind`` (sqlite, postgresql); kill, start again and judge, time and again.

    Each time the process stays dead for the next of ``down`` seconds. What may have been on its way is watched for at
    most ``flying`` seconds after the start.
    """
    async with _stage(kind, within) as stage:
        await _fill(stage, runs, say)
        reports = []
        for seconds in down:
            reports.append(await _one(stage, kind, seconds, flying))
            say(reports[-1].line())
        return reports


async def _one(stage: _Stage, kind: str, down: float, flying: float) -> Report:
    await asyncio.to_thread(stage.running.kill)
    died = time.monotonic()
    await asyncio.to_thread(stage.target.settings, latency_ms=0)
    before, sending = await _rows(stage.store), await _sending(stage.store)
    await asyncio.sleep(max(0.0, down - (time.monotonic() - died)))
    wave = await _resumed(stage, before, sending, flying)
    findings = await _judged(stage, before)
    findings.violations += [f"{one} was not taken up" for one in wave.missing if flying or one not in sending]
    flown = {one: at for one, at in wave.taken_up.items() if one in sending}
    return Report(
        store=kind,
        down=down,
        states=Counter(row.state for row in before.values()),
        turns=len(wave.taken_up),
        held=sum(row.leased for row in before.values()),
        sending=len(sending),
        ready=wave.ready,
        taken_up=wave.none_overdue,
        settled=max(flown.values(), default=0.0),
        findings=findings,
    )


@contextlib.asynccontextmanager
async def _stage(kind: str, within: str) -> AsyncIterator[_Stage]:
    with contextlib.ExitStack() as stack:
        if kind == "sqlite":
            store = f"sqlite:///{stack.enter_context(private_directory('resume'))}/responder.db"
        else:
            store = stack.enter_context(private_cluster(durable=True)).database()
        target = stack.enter_context(target_process())
        texts = {name: text.replace(WITHIN, within) for name, text in _PLAYBOOKS.items()}
        running = stack.enter_context(responder(texts, config(store, target.url, routes=[])))
        await asyncio.to_thread(running.start)
        async with aiohttp.ClientSession() as session:
            yield _Stage(store, target, running, session)


# --- filling ---


async def _fill(stage: _Stage, runs: int, say: Callable[[str], None]) -> None:
    """Let the responder make the runs itself; it is at work on the last tenth when this returns."""
    waiting, looking = runs * 4 // 10, runs * 5 // 10
    began = time.monotonic()
    await _post(stage, "asks", waiting)
    await _post(stage, "patient", looking)
    await _until(stage, awaiting_approval=waiting, verifying=looking)
    say(f"{waiting + looking:,} runs made in {time.monotonic() - began:.0f} s")
    await asyncio.to_thread(stage.target.settings, latency_ms=_SLOW_MS)  # so that turns are under way
    await _post(stage, "patient", runs - waiting - looking)

    child = stage.running.child
    assert child is not None

    async def at_work() -> bool:
        """Freeze it half way; it stays frozen until it is killed when it has claims that it does not see the end of."""
        rows = (await _rows(stage.store)).values()
        if (
            len(rows) < runs
            or sum(row.state == "verifying" for row in rows) - looking <= (runs - waiting - looking) // 4
        ):
            return False
        child.pause()
        if sum(row.leased for row in (await _rows(stage.store)).values()) > 3:
            return True
        child.resume()
        return False

    await eventually(at_work, FILL)


async def _post(stage: _Stage, playbook: str, count: int) -> None:
    """Make items at the target, and deliver their alerts."""
    items = [f"item-{number}" for number in range(stage.items, stage.items + count)]
    stage.items += count
    stage.playbooks |= dict.fromkeys(items, playbook)
    makes, posts = iter(items), _bodies(playbook, items)

    async def make() -> None:
        for item in makes:
            async with stage.session.put(f"{stage.target.url}/admin/{item}", json={"workers": 4}) as answer:
                assert answer.status == 200

    async def post() -> None:
        headers = {"Authorization": f"Bearer {WEBHOOK_TOKEN}", "Content-Type": "application/json"}
        url = f"{stage.running.url}/webhook/alertmanager"
        for body in posts:
            status = 0
            while status != 200:
                async with stage.session.post(url, data=body, headers=headers) as answer:
                    status = answer.status
                assert status in (200, 503), status

    await asyncio.gather(*(make() for _ in range(_SENDERS)))
    await asyncio.gather(*(post() for _ in range(_SENDERS)))


def _bodies(playbook: str, items: Sequence[str]) -> Iterator[bytes]:
    for first in range(0, len(items), _PER_WEBHOOK):
        group = f"{playbook}-{items[first]}"
        every = [
            alert(alertname=playbook, group=group, item=item, severity="warning")
            for item in items[first : first + _PER_WEBHOOK]
        ]
        yield json.dumps(webhook(every, group_by=("alertname", "group"))).encode()


async def _until(stage: _Stage, **states: int) -> None:
    async def there() -> bool:
        return Counter(row.state for row in (await _rows(stage.store)).values()) == Counter(states)

    await eventually(there, FILL, timedelta(seconds=0.5))


# --- watching ---


@dataclass(slots=True)
class _Wave:
    """What followed a start: when each run had its turn, when none was overdue, and what is missing at the end."""

    ready: float = 0.0
    none_overdue: float = 0.0
    taken_up: dict[str, float] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)


async def _resumed(stage: _Stage, before: Mapping[str, Row], sending: set[str], flying: float) -> _Wave:
    """Start the next process, and watch until no run is overdue."""
    wave, began = _Wave(), time.monotonic()
    starting = asyncio.create_task(asyncio.to_thread(stage.running.start))
    ready = asyncio.create_task(_when_done(starting, began))
    while time.monotonic() < began + SETTLE.total_seconds():
        await asyncio.sleep(_EVERY)
        now, at = await _rows(stage.store), time.monotonic() - began
        for one in before.keys() - wave.taken_up.keys():
            if now[one].finished or (now[one].due_at != before[one].due_at and not now[one].leased):
                wave.taken_up[one] = at
        left = {one: row for one, row in before.items() if one not in wave.taken_up}
        wave.missing = {one for one, row in left.items() if row.due_at <= time.time() - LATE}
        if not wave.missing - sending:
            wave.none_overdue = wave.none_overdue or at
            if not wave.missing & sending or at > flying:
                break
    wave.missing = wave.missing if not wave.none_overdue else wave.missing & sending
    wave.ready = await ready
    return wave


async def _when_done(starting: "asyncio.Task[None]", began: float) -> float:
    await starting
    return time.monotonic() - began


async def _judged(stage: _Stage, before: Mapping[str, Row]) -> Findings:
    """No run may be lost, and no effect repeated: the target's ledger is the judge."""
    found = Findings()
    after = await _rows(stage.store)
    found.lost += [f"run {one}" for one in before if one not in after]
    keys = Counter(entry.key for entry in stage.target.entries() if entry.applied and entry.key)
    found.repeated += [f"{count} × {key}" for key, count in keys.items() if count > 1]
    for entry in stage.target.entries():
        if entry.applied and entry.key and stage.playbooks[entry.name] == "asks":
            found.violations.append(f"{entry.name} was changed without a yes")
    return found


async def _rows(store: str) -> dict[str, Row]:
    return {
        str(one): Row(state, _seconds(due), lease is not None, finished is not None)
        for one, state, due, lease, finished in await _query(store, _ROWS)
    }


async def _sending(store: str) -> set[str]:
    return {str(one) for (one,) in await _query(store, _SENDING)}


def _seconds(at: Any) -> float:  # noqa: ANN401 - the two stores keep instants differently
    return at.timestamp() if isinstance(at, datetime) else float(at) / 1e6


async def _query(store: str, query: str) -> list[tuple[Any, ...]]:
    if not store.startswith("sqlite"):
        connection = await asyncpg.connect(store)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()
    path = Path(store.removeprefix("sqlite:///"))
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as file:
        return list(file.execute(query))
