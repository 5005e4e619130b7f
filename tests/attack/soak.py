"""``soak``: two replicas on PostgreSQL under a steady load, and something goes wrong every twenty seconds.

Most webhooks repeat what was said before, as Alertmanager's do; a few of them a second bring an alert that a playbook
acts on, and some of these one that may act only so often. One replica is killed and frozen time and again; the other
lives through everything, and its memory is measured. The target takes its time, so that each death and each freeze
finds runs under way: how long each of them waits for other hands is measured, too.
"""

import asyncio
import contextlib
import os
import random
import signal
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import aiohttp

from tests.attack.load import Load, ends, judge_all
from tests.attack.scenarios import PLAYBOOKS
from tests.attack.takeover import BOUND, LIMITED, MOST, PLAYBOOK, STORE_AWAY, Hurt, Takeovers, most_at_once, too_late
from tests.attack.verdict import Findings
from tests.bed.postgres import Cluster, private_cluster
from tests.bed.slack_peer import SlackPeer, slack
from tests.bed.target_process import TargetProcess, target_process
from tests.bed.waiting import NeverHappened, eventually
from tests.process_bed import Responder, config, responder

RATE = 200.0
"""Webhooks a second."""
NEW = 4.0
"""Of these, alerts that a run is made for; the others repeat, or end, one of the latest."""
FAULT_EVERY = 20.0
OVER_BEHIND = 160
"""So many alerts later, some fifty seconds, one may end."""
REMEMBERED = 200
"""How many of the latest alerts are repeated."""
LIMITED_OF = 4
"""Every so-manieth new alert is for the playbook with a limit: five times as many as it allows."""
FROZEN = 36.0
"""Seconds for which a replica is frozen: longer than a lease."""
SLOW_MS = 300
"""How long the target takes for an answer: turns that wait for one are claimed meanwhile."""
HELD = 3
"""So many runs at least the replica that is to be hurt must have under way."""
HELD_WITHIN = timedelta(seconds=15)
TOLD_OF = 25
"""Every so-manieth alert goes to Slack, which takes one message a second."""
WARM_UP = 0.25
"""The share of the samples of memory that is left out: caches fill in the beginning."""
AT_LAST = 2 / 3
"""What fills without end still grows in the last third; caches and the allocator's pools do so ever more slowly."""
SETTLE = 240.0
_MOST_WAITING = 2000
"""Webhooks under way at once; more than that only fills our own memory."""


@dataclass(slots=True)
class Stage:
    """Everything that takes part."""

    lasting: Responder
    mortal: Responder
    cluster: Cluster
    target: TargetProcess
    slack: SlackPeer
    load: Load
    takeovers: Takeovers
    limited: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """What a soak came to."""

    seconds: float
    webhooks: int
    faults: int
    runs: int
    findings: Findings
    memory: Sequence[tuple[float, float]]
    hurt: Sequence[Hurt]
    at_once: int

    @property
    def takeover(self) -> float:
        """The seconds from a death, or a freeze, to a successor's first action on a run: the longest."""
        return max((one.longest for one in self.hurt), default=0.0)

    @property
    def slope(self) -> float:
        """MiB that the lasting replica grew in a minute."""
        return self._slope(WARM_UP)

    def _slope(self, behind: float) -> float:
        kept = self.memory[int(len(self.memory) * behind) :]
        if len(kept) < 3:
            return 0.0
        return statistics.linear_regression([at for at, _ in kept], [size for _, size in kept]).slope * 60

    def line(self) -> str:
        """Return the line to quote."""
        found, taken_over = self.findings, sum(one.held for one in self.hurt)
        return (
            f"{self.webhooks:,} webhooks in {self.seconds:.0f} s ({self.webhooks / self.seconds:.0f}/s), {self.faults}"
            f" faults, {self.runs:,} runs: {len(found.lost)} lost, {len(found.repeated)} duplicate effects,"
            f" {len(found.violations)} other findings, {taken_over} runs taken over, the longest"
            f" after {self.takeover:.1f} s of {BOUND:.0f} ({'; '.join(map(str, self.hurt))}), at most {self.at_once}"
            f" effects where {MOST} a minute are allowed, memory {self.memory[-1][1]:.0f} MiB"
            f" ({self.slope:+.2f} MiB a minute, {self._slope(AT_LAST):+.2f} in the last third)"
        )


async def kill_replica(stage: Stage) -> None:
    """One replica dies in the middle of its work, and comes back."""
    await _busy(stage)
    at = time.monotonic()
    await asyncio.to_thread(stage.mortal.kill)
    await stage.takeovers.begin("SIGKILL", at)
    await asyncio.to_thread(stage.mortal.start)


async def freeze_replica(stage: Stage) -> None:
    """One replica is stopped in the middle of whatever it does, for longer than a lease, and wakes up again."""
    assert stage.mortal.child is not None
    await _busy(stage)
    at = time.monotonic()
    os.kill(stage.mortal.child.pid, signal.SIGSTOP)
    await stage.takeovers.begin("SIGSTOP", at)
    await asyncio.sleep(FROZEN)
    os.kill(stage.mortal.child.pid, signal.SIGCONT)


async def restart_postgres(stage: Stage) -> None:
    """PostgreSQL dies as with its machine, and comes back."""
    at = time.monotonic()
    await asyncio.to_thread(stage.cluster.crash)
    await asyncio.to_thread(stage.cluster.start)
    await stage.takeovers.begin(STORE_AWAY, at, by_all=True)


async def refuse_at_target(stage: Stage) -> None:
    """The target answers 503 to changes for a moment.

    Not to reads: where a check cannot be read the change is kept and a person is asked, which ends a run otherwise.
    """
    await asyncio.to_thread(stage.target.fault, "503", 10, on="write")


async def limit_at_slack(stage: Stage) -> None:
    """Slack says 429."""
    stage.slack.faults.next("status", times=5, status=429, retry_after=2)


async def _busy(stage: Stage) -> None:
    """Wait until the replica that is to be hurt has runs under way; what comes of it is judged at the end."""

    async def busy() -> bool:
        return await stage.takeovers.held() >= HELD

    with contextlib.suppress(NeverHappened):
        await eventually(busy, HELD_WITHIN)


FAULTS: tuple[Callable[[Stage], Awaitable[None]], ...] = (
    kill_replica,
    freeze_replica,
    refuse_at_target,
    restart_postgres,
    limit_at_slack,
)


async def soak(seconds: float, say: Callable[[str], None], *, rate: float = RATE, every: float = FAULT_EVERY) -> Report:
    """Load, hurt, wait for the end of everything, and judge."""
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(private_cluster(durable=True))
        assert server.server is not None
        store = server.database()
        target = stack.enter_context(target_process(settings={"latency_ms": SLOW_MS}))
        workspace = await stack.enter_async_context(slack())
        settings = config(
            store,
            target.url,
            notify={
                "console": True,
                "slack": {"token": workspace.token, "signing_secret": "s", "api_url": workspace.api_url},
            },
            routes=[{"matchers": ['told="yes"'], "slack": "#alerts"}],
        )
        playbooks = {**PLAYBOOKS, f"{LIMITED}.yaml": PLAYBOOK}
        both = [stack.enter_context(responder(playbooks, settings, name)) for name in ("lasting", "mortal")]
        takeovers = Takeovers(store)
        await asyncio.to_thread(both[0].start)
        await takeovers.know()
        await asyncio.to_thread(both[1].start)
        # For each of them by itself: a frozen one must not take the connections that the other needs.
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=64)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        load = Load([one.url for one in both], target, session)
        stage = Stage(both[0], both[1], server.server, target, workspace, load, takeovers)
        began = time.monotonic()
        faults = await _disturbed(stage, seconds, rate, every, say)
        took, webhooks = time.monotonic() - began, load.taken
        runs = await ends(stage.lasting, load, SETTLE)
        await stage.takeovers.settled()
        findings = judge_all(load.items, runs, target.entries())
        at_once = most_at_once(target.entries(), stage.limited)
        findings.violations += too_late(takeovers.seen)
        if at_once > MOST:
            findings.violations.append(f"{at_once} effects within a minute, and {MOST} are allowed")
        return Report(took, webhooks, faults, len(runs), findings, stage.memory, takeovers.seen, at_once)


async def _disturbed(stage: Stage, seconds: float, rate: float, every: float, say: Callable[[str], None]) -> int:
    """Post for so long, with a fault every now and then; returns how many faults there were."""
    over = asyncio.Event()
    watching = asyncio.create_task(_measure(stage, over))
    hurting = asyncio.create_task(_hurt(stage, every, over, say))
    await _post(stage, seconds, rate)
    over.set()
    await watching
    return await hurting


async def _post(stage: Stage, seconds: float, rate: float) -> None:
    """Post at ``rate``, on time whatever the answers take, up to a bound."""
    under_way = set[asyncio.Task[None]]()
    posts, began, sent = _posts(stage, rate), time.monotonic(), 0
    while (now := time.monotonic()) < began + seconds:
        while sent < (now - began) * rate and len(under_way) < _MOST_WAITING:
            task = asyncio.create_task(next(posts))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            sent += 1
        await asyncio.sleep(0.01)
    await asyncio.gather(*under_way)


def _posts(stage: Stage, rate: float) -> Iterator[Coroutine[None, None, None]]:
    """Yield one webhook after the other: new ones evenly, else one of the latest again, now and then its end."""
    load = stage.load
    draw = random.Random(1)  # noqa: S311 -- a soak is repeatable as far as its load goes
    latest: deque[tuple[str, str, str]] = deque(maxlen=REMEMBERED)
    each = max(1, round(rate / NEW))
    number = 0
    while True:
        for turn in range(each):
            if turn == 0:
                told = "yes" if number % TOLD_OF == 0 else ""
                if number % LIMITED_OF == 1:
                    stage.limited.append(f"limited-{number}")
                    number += 1
                    yield _fire_limited(load, stage.limited[-1])
                    continue
                latest.append(("helpless" if number % 4 == 0 else "kept", f"item-{number}", told))
                playbook, item, told = latest[-1]
                number += 1
                yield load.fire(playbook, item, told=told)
                continue
            place = draw.randrange(max(1, len(latest) - 40))
            playbook, item, told = latest[place]
            # Its end may come only after its run, though whoever had claimed its first webhook may have been frozen.
            if item in load.items and place < len(latest) - OVER_BEHIND and draw.random() < 0.1:
                latest.remove(
                    (playbook, item, told)
                )  # what is over stays over: heard of again, it would be another case
                yield load.resolve(playbook, item, told=told)
            else:
                yield load.again(playbook, item, told=told)


async def _fire_limited(load: Load, item: str) -> None:
    """Deliver an alert whose turn may not come within the soak: nobody waits for its run."""
    await load.fire(LIMITED, item)
    del load.items[item]


async def _hurt(stage: Stage, every: float, over: asyncio.Event, say: Callable[[str], None]) -> int:
    count = 0
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), every)
        if over.is_set():
            return count
        fault = FAULTS[count % len(FAULTS)]
        await fault(stage)
        count += 1
        say(f"{count}: {fault.__name__}; {stage.load.taken:,} webhooks, {_mebibytes(stage.lasting):.0f} MiB")


async def _measure(stage: Stage, over: asyncio.Event) -> None:
    began = time.monotonic()
    while not over.is_set():
        stage.memory.append((time.monotonic() - began, _mebibytes(stage.lasting)))
        await asyncio.sleep(1)


def _mebibytes(running: Responder) -> float:
    """Return the resident memory of a responder."""
    assert running.child is not None
    text = Path(f"/proc/{running.child.pid}/status").read_text(encoding="ascii")
    return next(int(row.split()[1]) for row in text.splitlines() if row.startswith("VmRSS")) / 1024
