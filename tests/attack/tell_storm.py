"""``tell-storm``: two thousand incidents in a minute, in twenty Slack channels at Slack's real limits.

The same storm is played told to nobody and told in Slack, several times in turn: a machine that is slower for a minute
must not look like a cost of telling. Who acts and who tells are two processes (decision 38), or one with ``one``. The
target's ledger says how long each alert waited for its change, Slack's how many calls were too many and what each
channel shows in the end; for that the first storm is waited for until all is told, the others until all is changed.
"""

import asyncio
import contextlib
import json
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from responder.clients.slack import POSTS, TIER_3
from tests.attack.desk import Desk, desk
from tests.attack.verdict import Findings
from tests.bed.alerts import alert, resolved, webhook
from tests.bed.playbooks import change_item
from tests.bed.postgres import private_cluster
from tests.bed.target_process import TargetProcess, target_process
from tests.bed.web import JsonObject
from tests.process_bed import WEBHOOK_TOKEN, Responder, config, responder

INCIDENTS, CHANNELS, SECONDS = 2_000, 20, 60.0
FIRES = 20.0
"""Seconds that each alert fires."""
AFTER = 5
"""Incidents of a channel that have messages of their own: the default of ``digest.after``."""
EDITS = 3
"""Edits of a message of its own: what was done, how that ended, and the end of the alert."""
SLACK = 60.0
"""Seconds: a digest is edited every 15 s, and what it tells of looked at again every 30 s."""
MORE = 0.10
ROUNDS = 3
"""How often each storm is played; percentiles are compared by their medians."""
_SENDERS = 16
_PLAYBOOK = change_item("storm", alertname="Storm", limits="  cooldown: 0s\n", sets=5, wanted=5, within="30s")
_COUNTS = re.compile(r"(\d+) incidents? in a storm: (.*)")


@dataclass(frozen=True, slots=True)
class Size:
    """How large a storm is; each alert fires for ``fires`` seconds."""

    incidents: int = INCIDENTS
    channels: int = CHANNELS
    seconds: float = SECONDS
    fires: float = FIRES


@dataclass(slots=True)
class Played:
    """One storm: how long changes waited (seconds, sorted), memory (MiB) by its quarters, and when all was told."""

    waited: list[float]
    memory: list[float] = field(default_factory=list)
    told_after: float = 0.0
    limited: int = 0
    own: int = 0
    digests: int = 0

    def p99(self) -> float:
        """Return the 99th percentile of the waits."""
        return self.waited[min(len(self.waited) - 1, int(len(self.waited) * 0.99))]


@dataclass(frozen=True, slots=True)
class Report:
    """What the storms came to; the first of those told was waited for until all was told."""

    size: Size
    quiet: Sequence[Played]
    told: Sequence[Played]
    allowed: float
    findings: Findings

    def more(self) -> float:
        """Return how much longer changes wait where it is told, as a share: by the medians of the 99th percentiles."""
        return _median(self.told) / _median(self.quiet) - 1

    def line(self) -> str:
        """Return the line to quote."""
        size, told = self.size, self.told[0]
        return (
            f"{size.incidents:,} incidents in {size.channels} channels in {size.seconds:.0f} s: {told.limited} calls"
            f" too many, {told.own} messages and {told.digests} digests, all last states told {told.told_after:.0f} s"
            f" after the last ({self.allowed:.0f} s allowed), {len(self.findings.lost)} lost; changes p99"
            f" {_each(self.told)} ms, untold {_each(self.quiet)} ms (medians {self.more():+.0%}); memory"
            f" {told.memory[1]:.0f} MiB half-way, {told.memory[-1]:.0f} MiB in the end"
        )


def _median(storms: Sequence[Played]) -> float:
    return statistics.median(one.p99() for one in storms)


def _each(storms: Sequence[Played]) -> str:
    return " ".join(f"{1000 * one.p99():.0f}" for one in storms)


def allowed(size: Size) -> float:
    """Return within how many seconds Slack's limits let the last states be told.

    Each channel has AFTER messages of its own, each with a reply in its thread, and a digest: so many posts, one every
    POSTS.every. All messages are edited EDITS times and the digests once, over all channels one every TIER_3.every.
    """
    channels = size.channels
    own = min(size.incidents, AFTER * channels)
    posts = (2 * own / channels + 1) * POSTS.every
    edits = (EDITS * own + channels) * TIER_3.every
    return posts + edits + SLACK


async def tell_storm(size: Size, rounds: int, say: Callable[[str], None], *, one: bool = False) -> Report:
    """Play the storm untold and told, ``rounds`` times in turn; with ``one``, one process does both."""
    findings = Findings()
    quiet: list[Played] = []
    told: list[Played] = []
    for number in range(rounds):
        quiet.append(await _play(None, size, findings))
        say(f"untold: p99 {1000 * quiet[-1].p99():.0f} ms")
        with desk(size.channels) as people:
            told.append(await _play(people, size, findings, whole=number == 0, one=one))
        say(f"told: p99 {1000 * told[-1].p99():.0f} ms")
    limit = allowed(size)
    if told[0].told_after > limit:
        findings.violations.append(f"told after {told[0].told_after:.0f} s, and Slack allows {limit:.0f} s")
    if (limited := max(one.limited for one in told)) > size.channels:
        findings.violations.append(f"{limited} calls too many in {size.channels} channels")
    return Report(size, quiet, told, limit, findings)


async def _play(
    people: Desk | None, size: Size, findings: Findings, *, whole: bool = False, one: bool = False
) -> Played:
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(private_cluster(durable=True)).database()
        target = stack.enter_context(target_process())
        more: JsonObject = {"routes": []}
        if people is not None:
            more = {"notify": {**people.notify(), "console": True}, "routes": people.routes("channel")}
            more["external_url"] = "https://responder.example"
        settings = config(store, target.url, **more)
        running = stack.enter_context(responder({"storm.yaml": _PLAYBOOK}, settings))
        every = [running]
        if people is not None and not one:
            every.append(stack.enter_context(responder({"storm.yaml": _PLAYBOOK}, settings, "teller")))
            for each, role in zip(every, ("act", "tell"), strict=True):
                each.command = (*each.command, "--role", role)
        for each in every:
            await asyncio.to_thread(each.start)
        await _make(target, size.incidents)
        memory: list[float] = []
        sent = await _storm(every, size, memory)
        ended = time.monotonic()
        await _at_rest(running, "runs?limit=1", lambda rows: bool(rows) and bool(rows[0]["finished_at"]))
        if whole:
            await _at_rest(running, "outbox?state=waiting&limit=1", lambda rows: not rows)
        played = Played(sorted(_waits(target, sent, findings)), [*memory, _memory(every)])
        if people is not None:
            played.limited = people.slack.limited
        if people is not None and whole:
            played.told_after = time.monotonic() - ended
            _look(people, size, played, findings)
        return played


def _alert(number: int, channels: int) -> JsonObject:
    return alert({
        "alertname": "Storm", "item": f"item-{number}", "channel": f"c{number % channels}", "severity": "warning",
    })  # fmt: skip


async def _make(target: TargetProcess, items: int) -> None:
    async with aiohttp.ClientSession() as session:
        for number in range(items):
            async with session.put(f"{target.url}/admin/item-{number}", json={"workers": 2}) as answer:
                assert answer.status == 200


async def _storm(every: Sequence[Responder], size: Size, memory: list[float]) -> Mapping[str, float]:
    """Post every alert at its time, and its end later, to the first; returns when each was acknowledged."""
    sent: dict[str, float] = {}
    began = time.monotonic()
    queue = [(number * size.seconds / size.incidents, number, False) for number in range(size.incidents)]
    queue = sorted([*queue, *((at + size.fires, number, True) for at, number, _ in queue)])
    coming = iter(queue)
    headers = {"Authorization": f"Bearer {WEBHOOK_TOKEN}", "Content-Type": "application/json"}

    async def sender(session: aiohttp.ClientSession) -> None:
        for at, number, over in coming:
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            one = _alert(number, size.channels)
            body = json.dumps(webhook([resolved(one) if over else one], group_by=["item"])).encode()
            while True:
                async with session.post(f"{every[0].url}/webhook/alertmanager", data=body, headers=headers) as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.2)
            if not over:
                sent[f"item-{number}"] = time.time()

    async def watch() -> None:
        for quarter in range(1, 5):
            await asyncio.sleep(max(0.0, began + quarter * (size.seconds + size.fires) / 4 - time.monotonic()))
            memory.append(_memory(every))

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(watch(), *(sender(session) for _ in range(_SENDERS)))
    return sent


async def _at_rest(running: Responder, path: str, over: Callable[[Sequence[JsonObject]], bool]) -> None:
    """Wait until a list shows three times in a row that it is over."""
    until, seen = time.monotonic() + 900, 0
    while seen < 3 and time.monotonic() < until:
        seen = seen + 1 if over((await asyncio.to_thread(running.get, path))["items"]) else 0
        await asyncio.sleep(1.0)


def _waits(target: TargetProcess, sent: Mapping[str, float], findings: Findings) -> list[float]:
    """Return how long after its acknowledgement each alert's change began."""
    began: dict[str, float] = {}
    for entry in target.entries():
        if entry.applied and entry.key:
            began.setdefault(entry.name, entry.began)
    findings.lost += [f"{item} was never changed" for item in sent if item not in began]
    return [max(0.0, began[item] - at) for item, at in sent.items() if item in began]


def _look(people: Desk, size: Size, played: Played, findings: Findings) -> None:
    """Hold what the channels show against what happened: every incident is resolved, by itself or in a digest."""
    for number in range(size.channels):
        shown = people.slack.in_channel(f"c{number}")
        mains = [one for one in shown if one.metadata and one.metadata["event_type"] == "responder_incident"]
        digests = [found for one in mains if (found := _COUNTS.search(one.text))]
        own = [one for one in mains if not _COUNTS.search(one.text)]
        told = sum("Resolved" in one.text for one in own)
        told += sum(int(one[1]) for one in digests if f"{one[1]} resolved" in one[2])
        wanted = len(range(number, size.incidents, size.channels))
        findings.lost += [f"c{number}: the end of an incident"] * max(0, wanted - told)
        findings.violations += [f"c{number}: {told} ends of {wanted} incidents"] * (told > wanted)
        played.own += len(own)
        played.digests += len(digests)


def _memory(every: Sequence[Responder]) -> float:
    """Return what the processes hold now together, in MiB."""
    children = [each.child for each in every if each.child is not None]
    texts = [Path(f"/proc/{child.pid}/status").read_text(encoding="ascii") for child in children]
    lines = [line for text in texts for line in text.splitlines() if line.startswith("VmRSS:")]
    return sum(int(line.split()[1]) for line in lines) / 1024
