"""Decide on a table top: a store in memory, playbooks made by hand, a clock that is set."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from responder.decide.decider import Decider
from responder.decide.rules import Rules
from responder.domain.alerts import Alert, Delivery, Notice, Severity, fingerprint, worst
from responder.domain.episodes import HOLDS_OPEN, Decision, Episode, EpisodeState, Group, Incident
from responder.domain.errors import Conflict, Unavailable
from responder.domain.ids import new_id
from responder.domain.limits import Limits, Pause, Usage
from responder.domain.modes import Mode
from responder.domain.runs import Run, RunState
from responder.domain.suspicion import Suspicion
from responder.domain.targets import conflicts
from responder.language.matchers import Matcher, parse_matcher
from responder.language.templates import Template
from responder.playbook.model import Playbook, Step
from responder.ports.store import MAX_ATTEMPTS, RunFact, SliceChanges
from tests.unit.playbook.fakes import CATALOGUE

ACTION = next(iter(CATALOGUE.actions.values()))
START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def matchers(*texts: str) -> tuple[Matcher, ...]:
    return tuple(parse_matcher(text) for text in texts)


def playbook(
    name: str = "restart",
    *match: str,
    target: str = "http/{{ labels.service }}",
    steps: int = 1,
    mode: Mode = Mode.AUTO,
    **more: Any,  # noqa: ANN401 - whatever a playbook has
) -> Playbook:
    """Return a playbook for the alert ``Down`` that acts on the service it names."""
    step = Step(id="one", action=ACTION, arguments={}, timeout=MINUTE)
    return Playbook(
        name=name,
        summary=name,
        file=f"{name}.yaml",
        text=name,
        revision=f"revision of {name}",
        alternatives=(matchers(*(match or ('alertname="Down"',))),),
        mode=mode,
        target=Template.parse(target) if steps else None,
        steps=tuple(replace(step, id=f"step{index}") for index in range(steps)),
        **more,
    )


class Shelf:
    """A library of a few playbooks."""

    def __init__(self, *playbooks: Playbook) -> None:
        self.playbooks = playbooks
        self.stumbles_over = ""

    def candidates(self, labels: Mapping[str, str]) -> list[Playbook]:
        if self.stumbles_over and self.stumbles_over in labels.values():
            raise RuntimeError("a fault of ours")
        fit = [p for p in self.playbooks if any(all(m.matches(labels) for m in one) for one in p.alternatives)]
        return sorted(fit, key=lambda one: one.order)


def alert(
    status: Literal["firing", "resolved"] = "firing",
    *,
    starts_at: datetime = START,
    ends_at: datetime | None = None,
    annotations: Mapping[str, str] | None = None,
    **labels: str,
) -> Alert:
    merged = {"alertname": "Down", "service": "checkout", **labels}
    merged = {name: value for name, value in merged.items() if value}
    return Alert(status, merged, annotations or {}, starts_at, ends_at, "", fingerprint(merged))


@dataclass
class World:
    """Everything the store holds, and the clock."""

    now: datetime = START
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    notices: dict[bytes, Notice | Exception] = field(default_factory=dict)
    finished: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    due: dict[str, datetime] = field(default_factory=dict)
    episodes: dict[str, Episode] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    served: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    outbox: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    told: list[str] = field(default_factory=list)
    heirs: dict[str, str] = field(default_factory=dict)
    holds: dict[str, datetime] = field(default_factory=dict)
    usages: dict[tuple[str, str], Usage] = field(default_factory=dict)
    caps_asked: set[str] = field(default_factory=set)
    doubts: dict[str, str] = field(default_factory=dict)
    stops: list[Pause] = field(default_factory=list)
    suspicion: Suspicion | None = None
    truncated: list[Group] = field(default_factory=list)
    leased: set[str] = field(default_factory=set)
    statements: list[int] = field(default_factory=list)
    fail_next: list[Exception] = field(default_factory=list)
    claims_at_most: int = 1_000
    fails_of: dict[str, Exception] = field(default_factory=dict)
    """Whatever writes an episode of one of these services fails so."""

    # --- the port -----------------------------------------------------------------------------------------------

    async def claim_deliveries(self, limit: int) -> Sequence[Delivery]:
        if limit > self.claims_at_most:
            raise Unavailable("the statement took too long")
        waiting = [d for d in self.deliveries.values() if d.id not in self.finished and d.attempts < MAX_ATTEMPTS]
        claimed = []
        for one in [d for d in waiting if self.due[d.id] <= self.now and d.id not in self.leased][:limit]:
            leased = replace(one, attempts=one.attempts + 1, epoch=one.epoch + 1)
            self.deliveries[one.id] = leased
            self.leased.add(one.id)
            claimed.append(leased)
        return claimed

    async def release_delivery(self, delivery: Delivery, retry_at: datetime, *, counted: bool = True) -> None:
        self.due[delivery.id] = retry_at
        self.leased.discard(delivery.id)
        if not counted:
            self._not_counted(delivery.id)

    async def give_back_deliveries(self) -> int:
        count = len(self.leased)
        for one in self.leased:
            self._not_counted(one)
        self.leased.clear()
        return count

    def _not_counted(self, one: str) -> None:
        self.deliveries[one] = replace(self.deliveries[one], attempts=max(0, self.deliveries[one].attempts - 1))

    @asynccontextmanager
    async def slice(self) -> AsyncIterator["FakeSlice"]:
        one = FakeSlice(self)
        yield one
        self.statements.append(one.count)

    # --- what happens outside of decide --------------------------------------------------------------------------

    def deliver(
        self,
        *alerts: Alert,
        receiver: str = "responder",
        group_key: str = "{}:{}",
        source: str = "am",
        truncated: int = 0,
        external_url: str = "http://am",
    ) -> Delivery:
        """Put a delivery into the inbox, received now."""
        notice = Notice(receiver, group_key, {}, external_url, alerts, truncated)
        return self.post(notice, source)

    def post(self, notice: Notice | Exception, source: str = "am") -> Delivery:
        delivery = Delivery(new_id(), source, self.now, f"body {len(self.notices)}".encode())
        self.notices[delivery.body] = notice
        self.deliveries[delivery.id] = delivery
        self.due[delivery.id] = self.now
        return delivery

    def parse(self, source: str, body: bytes) -> Notice:
        notice = self.notices[body]
        if isinstance(notice, Exception):
            raise notice
        return notice

    def end(self, run: Run, state: RunState, *, effects: int = 1, after: bool = False, due: bool = False) -> None:
        """End a run as act does; ``after`` hands its episodes to the next candidate, ``due`` makes them due."""
        started = run.started_at or (self.now if effects else None)
        self.runs[run.id] = replace(run, state=state, started_at=started, finished_at=self.now, effects=effects)
        for one in self.served[run.id]:
            episode = self.episodes[one]
            if (after or due) and episode.state is not EpisodeState.CLOSED:
                self.episodes[one] = replace(
                    episode, reconsider_at=self.now, after=run.playbook if after else episode.after
                )

    def act(self, run: Run) -> None:
        """Let a run make its change, now."""
        self.runs[run.id] = replace(run, state=RunState.VERIFYING, started_at=self.now, effects=1)

    def put(self, run: Run, state: RunState) -> None:
        """Take a run to a state."""
        self.runs[run.id] = replace(run, state=state)

    # --- questions -----------------------------------------------------------------------------------------------

    def open_episodes(self) -> list[Episode]:
        return [one for one in self.episodes.values() if one.state is EpisodeState.OPEN]

    def open_incidents(self) -> list[Incident]:
        return [one for one in self.incidents.values() if one.open]

    def verdicts(self, playbook_name: str | None = None) -> list[str]:
        return [d.verdict for d in self.decisions if playbook_name in (None, d.playbook)]

    def last(self, playbook_name: str = "restart") -> Decision:
        return [d for d in self.decisions if d.playbook == playbook_name][-1]

    @property
    def run(self) -> Run:
        """The only run there is."""
        (only,) = self.runs.values()
        return only

    @property
    def episode(self) -> Episode:
        """The only episode that is not closed."""
        (only,) = [one for one in self.episodes.values() if one.state is not EpisodeState.CLOSED]
        return only


class FakeSlice:
    """One transaction on the world; writes happen at once, the tests are single-threaded."""

    def __init__(self, world: World) -> None:
        self._w = world
        self._read: set[str] = set()
        self.count = 0

    @property
    def now(self) -> datetime:
        return self._w.now

    async def episodes_by_key(self, keys: Collection[tuple[str, str]]) -> Sequence[Episode]:
        self.count += 1
        found = []
        for key in keys:
            mine = [e for e in self._w.episodes.values() if (e.source, e.fingerprint) == key]
            current = [e for e in mine if e.state is not EpisodeState.CLOSED]
            mine.sort(key=lambda e: e.closed_at or START)
            found.extend(current or mine[-1:])
        self._read |= {one.id for one in found}
        return found

    async def due_episodes(self, limit: int) -> Sequence[Episode]:
        self.count += 1
        due = [e for e in self._w.episodes.values() if e.state is not EpisodeState.CLOSED]
        due = [e for e in due if e.reconsider_at is not None and e.reconsider_at <= self.now]
        found = sorted(due, key=lambda e: e.reconsider_at or START)[:limit]
        self._read |= {one.id for one in found}
        return found

    async def incidents(self, groups: Collection[tuple[str, str, str]], ids: Collection[str]) -> Sequence[Incident]:
        self.count += 1
        return [
            one
            for one in self._w.incidents.values()
            if one.id in ids or (one.open and (one.source, one.receiver, one.group_key) in groups)
        ]

    async def others_of(self, incidents: Collection[str]) -> Mapping[str, Severity | None]:
        self.count += 1
        rest = [e for e in self._w.episodes.values() if e.state in HOLDS_OPEN and e.id not in self._read]
        found = {one: [e.severity for e in rest if e.incident_id == one] for one in incidents}
        return {one: worst(severities) if severities else None for one, severities in found.items()}

    async def unfinished_runs_of(self, incidents: Collection[str]) -> Mapping[str, int]:
        self.count += 1
        unfinished = [run for run in self._w.runs.values() if not run.state.final]
        return {one: sum(run.incident_id == one for run in unfinished) for one in incidents}

    async def runs_near(
        self, targets: Collection[str], episodes: Collection[str], since: datetime
    ) -> Sequence[RunFact]:
        self.count += 1
        found = []
        for run in self._w.runs.values():
            ended_lately = run.effects and run.finished_at is not None and run.finished_at > since
            near = (not run.state.final or ended_lately) and any(conflicts(run.target, target) for target in targets)
            if near or self._w.served[run.id] & set(episodes):
                stopped = bool(run.stop_by) and run.kept_at is None
                taken_back = any(one.of_run == run.id for one in self._w.runs.values())
                found.append(_fact(run, self._w.served[run.id], declined=stopped or taken_back))
        return found

    async def usage(self, asked: Mapping[tuple[str, str], Limits]) -> Mapping[tuple[str, str], Usage]:
        self.count += 1
        self._w.caps_asked |= {cap.key for limits in asked.values() for cap in limits.caps}
        return {pair: self._w.usages[pair] for pair in asked if pair in self._w.usages}

    async def quarantined(self, targets: Collection[str]) -> Mapping[str, str]:
        self.count += 1
        return {t: why for t in targets for doubt, why in self._w.doubts.items() if conflicts(t, doubt)}

    async def pauses(self) -> Sequence[Pause]:
        self.count += 1
        return self._w.stops

    def suspicion(self) -> Suspicion | None:
        return self._w.suspicion

    async def write(self, changes: SliceChanges) -> None:
        if self._w.fail_next:
            raise self._w.fail_next.pop()
        for one in changes.episodes:
            if one.labels.get("service") in self._w.fails_of:
                raise self._w.fails_of[one.labels["service"]]
        _write(self._w, changes)


def _fact(run: Run, served: Iterable[str], *, declined: bool) -> RunFact:
    return RunFact(
        run.id,
        run.playbook,
        run.target,
        run.state,
        run.created_at,
        run.finished_at,
        run.effects,
        frozenset(served),
        run.started_at if run.effects else None,
        run.depth,
        left_alone_until=run.progress.left_alone_until,
        declined=declined,
    )


def _write(world: World, changes: SliceChanges) -> None:
    for progress in changes.progress:
        if world.deliveries[progress.id].epoch != progress.epoch:
            raise Conflict("lease lost")
    for incident in changes.incidents:
        world.incidents[incident.id] = incident
    for episode in changes.episodes:
        world.episodes[episode.id] = episode
    _hold_the_unique_keys(world)
    world.decisions.extend(changes.decisions)
    for run, episodes in changes.runs:
        assert run.incident_id in world.incidents
        assert episodes <= world.episodes.keys()
        world.runs[run.id] = run
        world.served[run.id] |= episodes
    for run_id, episode_id in changes.joins:
        assert not world.runs[run_id].state.final
        world.served[run_id].add(episode_id)
    for incident_id, destinations in changes.tell.items():
        assert incident_id in world.incidents
        world.outbox[incident_id] |= destinations
        world.told.append(incident_id)
    assert changes.heirs.keys() | set(changes.heirs.values()) <= changes.tell.keys()
    world.heirs |= changes.heirs
    world.truncated += changes.truncated
    assert changes.hold.keys() <= world.incidents.keys()
    world.holds = {**changes.hold, **world.holds}
    for progress in changes.progress:
        world.deliveries[progress.id] = replace(world.deliveries[progress.id], cursor=progress.cursor, attempts=0)
        if progress.done or progress.dead:
            world.finished[progress.id] = progress.dead or "done"
            world.notes[progress.id] = progress.note


def _hold_the_unique_keys(world: World) -> None:
    current = [(e.source, e.fingerprint) for e in world.episodes.values() if e.state is not EpisodeState.CLOSED]
    assert len(current) == len(set(current)), "two current episodes of one alert"
    groups = [(i.source, i.receiver, i.group_key, i.team) for i in world.incidents.values() if i.open]
    assert len(groups) == len(set(groups)), "two open incidents of one group"


@dataclass
class Facts:
    """What the decider reported."""

    seen: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    def __call__(self, name: str, /, **fields: object) -> None:
        self.seen.append((name, fields))

    def named(self, name: str) -> list[Mapping[str, object]]:
        return [fields for one, fields in self.seen if one == name]


@dataclass
class Scene:
    """A decider on a world."""

    world: World
    shelf: Shelf
    rules: Rules
    facts: Facts
    decider: Decider

    async def turn(self, *alerts: Alert, at: timedelta | None = None, **delivery: Any) -> None:  # noqa: ANN401 - what deliver takes
        """Let time pass until ``at`` after the start, deliver alerts if any, and decide."""
        if at is not None:
            self.world.now = START + at
        if alerts:
            self.world.deliver(*alerts, **delivery)
        await self.decider.turn()

    async def wait(self, span: timedelta) -> None:
        """Let ``span`` pass and decide."""
        self.world.now += span
        await self.decider.turn()


def scene(*playbooks: Playbook, **rules: Any) -> Scene:  # noqa: ANN401 - whatever rules have
    """Set a scene with these playbooks and rules."""
    made = Scene(World(), Shelf(*playbooks), Rules(**rules), Facts(), None)  # type: ignore[arg-type]  # made below
    made.decider = Decider(made.world, lambda: made.shelf, lambda: made.rules, made.world.parse, on_fact=made.facts)
    return made
