"""``telling``: a responder dies wherever it tells somebody something, and the channels say what they were told.

A handful of incidents in channels of their own, half of them fixed and half of them undone, so that a person is called
and acknowledges. It dies at a point, and again at others while it recovers. In the end each incident has exactly one
message, which shows its last state, and one page that was called once and taken back.
"""

import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.attack.crash import Result
from tests.attack.desk import Desk, desk
from tests.attack.lives import Launcher, Stuck, Victim, launcher, victim
from tests.attack.points import ANY, Mode, Plan
from tests.attack.scenarios import BEFORE, PLAYBOOKS
from tests.bed.alerts import alert, resolved, webhook
from tests.bed.target_process import TargetProcess, target_process
from tests.bed.web import JsonObject

KINDS = ("kept", "helpless")
"""The playbooks: one that helps, and one that is undone, so that a person is needed."""
SENDS = ("slack.post", "slack.update", "pagerduty.send")
TELLS = (*SENDS, "announce", "told", "tell_later", "claim_outbox")
"""Where it tells, and where it writes down that it does."""
OTHERS = (3, 6, 9)
"""The points of a recovery, counted from its start, at which it dies again, one after the other."""
PATIENCE = 60.0
OFFICES = 3
"""So many at once keep two cores busy, and leave each responder its time."""
_LAST = {"kept": "Resolved", "helpless": "Resolved"}


@dataclass(slots=True)
class Round:
    """Some incidents, from their alerts to the last word about them."""

    number: int
    count: int
    incidents: dict[str, str] = field(default_factory=dict)

    def items(self) -> Iterator[tuple[str, str, str]]:
        """Yield playbook, item and channel of each."""
        for place in range(self.count):
            yield KINDS[place % len(KINDS)], f"item-{self.number}-{place}", f"c{place}"


@dataclass(slots=True)
class Office:
    """A responder that is hurt, and the channels it tells."""

    label: str
    victim: Victim
    target: TargetProcess
    desk: Desk
    result: Result = field(default_factory=Result)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def trace(self) -> list[str]:
        """Play a round unhurt and return the points that it met."""
        self.victim.arm(None)
        self._play("unhurt")
        return self.victim.met()

    def run(self, *plans: Plan) -> None:
        """Play a round in which it is hurt as planned: first by the first, then each following life by the next."""
        victim = self.victim
        victim.plans = list(plans[1:])
        deaths = victim.deaths
        victim.arm(plans[0])
        self._play(", then ".join(map(str, plans)))
        lost = plans[0].mode == "lost" and victim.struck()
        hurt = victim.deaths - deaths + lost
        self.result.kills += victim.deaths - deaths
        self.result.lost += lost
        if hurt:
            self.result.points.add((plans[0].name, plans[0].occurrence))
        self.result.missed += max(0, len(plans) - hurt)
        victim.plans.clear()

    def _play(self, name: str) -> None:
        name = f"{self.label}, {name}"
        part = Round(next(self._numbers), self.desk.channels)
        try:
            self._happen(part)
            self.victim.wait(lambda: self._quiet(part), "not everybody is told", PATIENCE)
            self._judge(part, name)
        except Stuck as error:
            self.result.findings.violations.append(f"{name}: {error}")
            self.victim.plans.clear()
            self.victim.end()
            self.victim.let_time_pass()
            self.victim.start()

    def _happen(self, part: Round) -> None:
        """Let the alerts fire, be dealt with, acknowledged, and end."""
        victim = self.victim
        every = list(part.items())
        for playbook, item, channel in every:
            self.target._send("PUT", f"/admin/{item}", {"workers": BEFORE})
            victim._deliver(webhook([_alert(playbook, item, channel)], group_by=["item"]))
        for _, item, _ in every:
            part.incidents[item] = str(victim.until(item)["incident"])
        self._called(part)
        for playbook, item, channel in every:
            if playbook == "helpless":
                victim.call("POST", f"/api/v1/incidents/{part.incidents[item]}/ack", {})
            victim._deliver(webhook([resolved(_alert(playbook, item, channel))], group_by=["item"]))

    def _called(self, part: Round) -> None:
        """Wait until every person was called, as people are: by what PagerDuty shows."""
        wanted = [part.incidents[item] for playbook, item, _ in part.items() if playbook == "helpless"]

        def there() -> bool:
            self.victim.revive()
            return all(self.desk.pages(one) for one in wanted)

        self.victim.wait(there, "nobody is called", PATIENCE)

    def _quiet(self, part: Round) -> bool:
        rows = [row for one in part.incidents.values() for row in self.victim.items(f"outbox?incident={one}")]
        return bool(rows) and all(row["state"] == "told" for row in rows)

    def _judge(self, part: Round, name: str) -> None:
        found = self.result.findings
        for playbook, item, channel in part.items():
            incident = part.incidents[item]
            messages = self.desk.messages(incident)
            if not messages:
                found.lost.append(f"{name}: no message for {item}")
            elif len(messages) > 1:
                found.repeated.append(f"{name}: {len(messages)} messages for {item}: {[one.text for one in messages]}")
            elif _LAST[playbook] not in messages[0].text or messages[0].channel != self.desk.slack.channels[channel]:
                found.lost.append(f"{name}: the last word about {item} is {messages[0].text!r}")
            else:
                self._judge_thread(messages[0].ts, self.desk.replies(messages[0]), f"{name}: {item}")
            pages = self.desk.pages(incident)
            if pages != ["resolved"] * (playbook == "helpless"):
                (found.repeated if len(pages) > 1 else found.lost).append(f"{name}: {item} has the pages {pages}")

    def _judge_thread(self, ts: str, replies: Sequence[object], name: str) -> None:
        told = Counter(
            entry
            for one in self.desk.slack.messages
            if one.thread_ts == ts and one.metadata
            for entry in one.metadata["event_payload"].get("entries", ())
        )
        twice = [entry for entry, count in told.items() if count > 1]
        if not replies:
            self.result.findings.lost.append(f"{name}: nothing in the thread")
        if twice:
            self.result.findings.repeated.append(f"{name}: {len(twice)} entries stand twice in the thread")


def _alert(playbook: str, item: str, channel: str) -> JsonObject:
    return alert({"alertname": playbook, "item": item, "channel": channel, "severity": "critical"})


@contextlib.contextmanager
def office(label: str, store: str, forks: Launcher, incidents: int) -> Iterator[Office]:
    """Give a responder on ``store`` with so many incidents a round."""
    playbooks = {f"{name}.yaml": PLAYBOOKS[f"{name}.yaml"] for name in KINDS}
    with desk(incidents) as people, target_process() as target:
        page = {"pagerduty": "oncall", "after": "1h"}
        settings: JsonObject = {"notify": people.notify(), "page": page, "routes": people.routes("channel")}
        settings["digest"] = "off"  # round follows round in the same channels, and each has its messages to show
        with victim(store, target.url, forks, playbooks=playbooks, **settings) as hurt:
            people.slack.updates.count = None  # fifty edits a minute would make every round take a minute
            people.slack.reads.count = people.slack.lists.count = None
            yield Office(label, hurt, target, people)


def places(met: Sequence[str]) -> list[tuple[str, int]]:
    """Return the points of telling among those that were met, as (name, occurrence)."""
    seen: Counter[str] = Counter()
    found = []
    for name in met:
        seen[name] += 1
        if name.partition(":")[0] in TELLS:
            found.append((name, seen[name]))
    return found


def cases(found: Sequence[tuple[str, int]], *, embedded: bool) -> Iterator[tuple[Plan, ...]]:
    """Yield each point as the place of a death, with deaths during the recovery, and of a lost answer."""
    again = [Plan(ANY, place, "kill") for place in OTHERS]
    modes: tuple[Mode, ...] = ("kill", "lost")
    for mode, (name, occurrence) in itertools.product(modes, found):
        first = Plan(name, occurrence, mode)
        if mode == "kill":
            yield (first, *again)
        elif name.endswith(":after") and (name.partition(":")[0] in SENDS or not embedded):
            yield (first,)


def campaign(
    stores: Sequence[tuple[str, Callable[[], str]]],
    *,
    every: int = 1,
    incidents: int = 6,
    offices: int = OFFICES,
    say: Callable[[str], None] = print,
) -> Result:
    """Play everything on each (label, what makes a store); ``every`` n-th case only, to be shorter.

    A case mostly waits, for leases and for channels: so many ``offices`` play them side by side, each with all its own.
    """
    total = Result()
    for label, store in stores:
        with contextlib.ExitStack() as stack:
            made = [
                stack.enter_context(office(label, store(), stack.enter_context(launcher()), incidents))
                for _ in range(offices)
            ]
            found = places(made[0].trace())
            chosen = list(cases(found, embedded=label == "sqlite"))[::every]
            say(f"{label}: {len(found)} points, {len(chosen)} cases")
            _side_by_side(made, chosen, say)
            for one in made:
                total.add(one.result)
    return total


def _side_by_side(offices: Sequence[Office], chosen: Sequence[tuple[Plan, ...]], say: Callable[[str], None]) -> None:
    """Let each office take one case after the other until none is left."""
    began, left, done = time.monotonic(), iter(chosen), itertools.count(1)
    taking = threading.Lock()

    def work(one: Office) -> None:
        while True:
            with taking:
                plans = next(left, None)
            if plans is None:
                return
            told = len(one.result.findings.every)
            one.run(*plans)
            for finding in one.result.findings.every[told:]:
                say(finding)
            if (count := next(done)) % 10 == 0:
                so_far = sum(len(each.result.findings.every) for each in offices)
                say(f"{one.label}: {count} cases in {time.monotonic() - began:.0f} s, {so_far} findings")

    with ThreadPoolExecutor(len(offices)) as pool:
        list(pool.map(work, offices))


def line(result: Result) -> str:
    """Return the line to quote."""
    found = result.findings
    return (
        f"{result.kills:,} kills and {result.lost} lost answers at {len(result.points)} points of telling:"
        f" {len(found.lost)} last states lost, {len(found.repeated)} messages twice, {len(found.violations)} violations"
    )
