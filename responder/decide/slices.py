"""One slice: read what the alerts are about in a fixed number of statements, decide purely, write it all at once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from responder.decide.bench import Bench, Facts
from responder.decide.candidates import Case, Judgement, judge
from responder.decide.correlate import FRESH, VISIBLE, Change, Sighting, expire, see
from responder.decide.destinations import Audience, audience
from responder.decide.incidents import Shelf
from responder.decide.memory import Memory
from responder.decide.options import Candidates, Option, options_for, targets_of
from responder.decide.rules import Rules
from responder.domain.alerts import Alert, Delivery, Notice
from responder.domain.causes import began, touched_since
from responder.domain.episodes import Decision, Episode, EpisodeState, Group
from responder.ports.store import Audit, DeliveryProgress, RunFact, Slice, SliceChanges

Key = tuple[str, str]
Fact = tuple[str, Mapping[str, object]]

SLICE = 200
"""Alerts or episodes in one transaction (engine.md)."""
CONFLICTS = 3
"""How often a slice that met another one is tried again as a whole."""
TURN = timedelta(seconds=3)
"""After this a turn takes up no further slice: what has come in meanwhile may be more urgent, and a lease is 30 s."""


@dataclass(frozen=True, slots=True)
class Share:
    """The part of one delivery that a slice takes: the alerts from ``first`` on."""

    delivery: Delivery
    notice: Notice
    first: int
    alerts: Sequence[Alert]

    def progress(self) -> DeliveryProgress:
        """Return how far the delivery is decided with this slice."""
        cursor = self.first + len(self.alerts)
        done = cursor >= len(self.notice.alerts)
        return DeliveryProgress(self.delivery.id, self.delivery.epoch, cursor, done, note=self.notice.unread)


@dataclass(frozen=True, slots=True)
class Desk:
    """What a slice decides by: the rules and the library as they are now, and what was told last."""

    rules: Rules
    library: Candidates
    memory: Memory


@dataclass(frozen=True, slots=True)
class Decided:
    """What a slice came to: what it wrote, and the facts to emit once that is committed."""

    changes: SliceChanges
    facts: Sequence[Fact]


async def decide_deliveries(tx: Slice, shares: Sequence[Share], desk: Desk) -> Decided:
    """Decide the alerts of a slice and write the outcome in the same transaction."""
    keys = {(share.delivery.source, alert.fingerprint) for share in shares for alert in share.alerts}
    known = {(episode.source, episode.fingerprint): episode for episode in await tx.episodes_by_key(keys)}
    groups = {(share.delivery.source, share.notice.receiver, share.notice.group_key) for share in shares}
    ids = {episode.incident_id for episode in known.values() if episode.incident_id}
    shelf = Shelf(await tx.incidents(groups, ids), tx.now)
    options = _options_by_key(shares, desk)
    targets = {target for offered in options.values() for target in targets_of(offered)}
    begins = [began(one) for one in known.values() if one.state is not EpisodeState.CLOSED]
    begins += [alert.starts_at for share in shares for alert in share.alerts if alert.status == "firing"]
    near = await tx.runs_near(targets, [episode.id for episode in known.values()], touched_since(begins, tx.now))
    work = _Work(desk, shelf, tx.now, near, {one.id: one for one in known.values()})
    for share in shares:
        work.take(share, known, options)
    return await _conclude(tx, work, [share.progress() for share in shares])


async def decide_due(tx: Slice, episodes: Sequence[Episode], desk: Desk) -> Decided:
    """Decide episodes whose time has come."""
    options = {e.id: options_for(e.labels, e.annotations, desk.library, desk.rules) for e in episodes}
    shelf = Shelf(await tx.incidents((), {e.incident_id for e in episodes if e.incident_id}), tx.now)
    targets = {target for offered in options.values() for target in targets_of(offered)}
    near = await tx.runs_near(targets, list(options), touched_since(map(began, episodes), tx.now))
    work = _Work(desk, shelf, tx.now, near, {one.id: one for one in episodes})
    for episode in episodes:
        work.reconsider(episode, options[episode.id])
    return await _conclude(tx, work, ())


def _options_by_key(shares: Sequence[Share], desk: Desk) -> dict[Key, tuple[Option, ...]]:
    """Work out once for each alert what could be done about it; the last word on annotations counts."""
    firing: dict[Key, Alert] = {}
    for share in shares:
        for alert in share.alerts:
            if alert.status == "firing":
                firing[share.delivery.source, alert.fingerprint] = alert
    return {
        key: options_for(alert.labels, alert.annotations, desk.library, desk.rules) for key, alert in firing.items()
    }


@dataclass(slots=True)
class _Work:
    """The state of a slice while it is decided; pure."""

    desk: Desk
    shelf: Shelf
    now: datetime
    near: Sequence[RunFact]
    known: Mapping[str, Episode]
    """What was read of the store, by id; ``episodes`` is what becomes of it."""
    episodes: dict[str, Episode] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    audiences: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    heirs: dict[str, str] = field(default_factory=dict)
    truncated: dict[tuple[str, str, str], Group] = field(default_factory=dict)
    holds: dict[str, datetime] = field(default_factory=dict)
    audit: list[Audit] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    _served: set[str] = field(default_factory=set)
    _declined: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._served = {episode for run in self.near for episode in run.episodes}
        self._declined = {episode for run in self.near if run.said_no for episode in run.episodes}

    def take(self, share: Share, known: dict[Key, Episode], options: Mapping[Key, tuple[Option, ...]]) -> None:
        """Apply the alerts of one delivery in their order."""
        rules, source, at = self.desk.rules, share.delivery.source, share.delivery.received_at
        notice = share.notice
        group = Group(source, notice.receiver, notice.group_key, notice.group_labels, notice.external_url)
        for alert in share.alerts:
            key = (source, alert.fingerprint)
            before = known.get(key)
            about = "" if before is None else before.id
            has_run, declined = about in self._served, about in self._declined
            seen = see(before, alert, source, at, rules, has_run=has_run, declined=declined)
            if seen.episode is not None:
                known[key] = self._apply(before, seen, group, options.get(key, ()))
        if notice.truncated and source in rules.asked:
            self.truncated[source, group.receiver, group.group_key] = group
        if len(notice.quarantined) and share.first == 0:
            found = {"delivery": share.delivery.id, "count": len(notice.quarantined), "reason": notice.unread}
            self.facts.append(("alerts_quarantined", {"source": source, **found}))

    def _apply(self, before: Episode | None, seen: Sighting, group: Group, options: tuple[Option, ...]) -> Episode:
        episode = seen.episode
        if episode is None:
            raise ValueError("a sighting without an episode changes nothing")
        if seen.ended is not None:
            self._drop(seen.ended)
        if episode.state is EpisodeState.OPEN:
            episode = self.shelf.place(episode, group, self.desk.rules.team_of(episode.labels))
        elif before is not None and episode.state is EpisodeState.CLOSED and before.state is not EpisodeState.CLOSED:
            self._drop(episode)
        if episode != before:
            self.episodes[episode.id] = episode
        if seen.change in VISIBLE:
            self.told.add(episode.incident_id)
        if before is not None and before.incident_id != episode.incident_id:
            self.told |= {before.incident_id, episode.incident_id}
        if seen.change not in (Change.SEEN, Change.REPEATED, Change.IGNORED):
            self.facts.append(("episode", {"change": seen.change.value, "episode": episode.id}))
        self._consider(before, seen.change, episode, options)
        return episode

    def _drop(self, ended: Episode) -> None:
        """Keep an episode that is over; whatever was to be judged about it no longer is."""
        self.episodes[ended.id] = ended
        self.cases.pop(ended.id, None)
        if ended.incident_id in self.shelf.by_id:
            self.shelf.touched.add(ended.incident_id)

    def _consider(self, before: Episode | None, change: Change, episode: Episode, options: tuple[Option, ...]) -> None:
        if episode.state is EpisodeState.CLOSED:
            return
        moved = before is not None and before.incident_id != episode.incident_id
        due = episode.reconsider_at is not None and episode.reconsider_at <= self.now
        urgent = change in FRESH or due
        earlier = self.cases.get(episode.id)
        waits = before is not None and _waits(before, self.desk.rules)
        if urgent or moved or change is Change.LATE or (change is Change.SEEN and not waits) or earlier:
            urgent = urgent or (earlier is not None and earlier.urgent)
            back = episode.reconsider_at if waits and not urgent else None
            self.cases[episode.id] = Case(episode, options, urgent=urgent, comes_back_at=back)

    def reconsider(self, episode: Episode, options: tuple[Option, ...]) -> None:
        """Judge an episode whose time has come; one that nothing confirms any more is closed."""
        if self.now - episode.evidence_at < self.desk.rules.episode_ttl:
            self.cases[episode.id] = Case(episode, options)
            return
        closed = expire(episode, self.now)
        self._drop(closed)
        if episode.state is EpisodeState.OPEN:
            self.told.add(closed.incident_id)
            self.facts.append(("episode", {"change": Change.EXPIRED.value, "episode": closed.id}))

    def conclude(self, case: Case, found: Judgement) -> None:
        """Take over what was decided about one episode."""
        episode = case.episode
        lasts = episode.evidence_at + self.desk.rules.episode_ttl
        incident = self.shelf.by_id.get(episode.incident_id)
        needed = found.may_act or bool(found.needs_person) or (incident is not None and bool(incident.needs_person))
        hears = audience(
            episode.labels, self.desk.rules, self.now, handled=found.handled, playbook=found.leading, page=needed
        )
        wishes = (lasts, found.retry_at, hears.opens_at, case.comes_back_at)
        again = min(at for at in wishes if at is not None)
        self.episodes[episode.id] = replace(episode, reconsider_at=again, after=found.after)
        self.decisions.extend(found.decisions)
        news = self.desk.memory.news(found.decisions)
        if found.needs_person and self.shelf.need_person(
            episode.incident_id, found.needs_person, found.needs_person_run
        ):
            self.audit.append(
                Audit("incident.needs_person", episode.incident_id, details={"reason": found.needs_person})
            )
            self.facts.append(("person_needed", {"incident": episode.incident_id}))
            news = True
        if news:
            self.told.add(episode.incident_id)
        self._hear(episode, hears)
        wanted = found.may_change and not episode.suppressed  # whoever silenced it knows of it
        if wanted and self.desk.rules.page and episode.severity.wakes:
            self.holds[episode.incident_id] = self.now + self.desk.rules.page_after
        for decision in found.decisions:
            fields = {"verdict": decision.verdict, "playbook": decision.playbook, "episode": decision.episode_id}
            self.facts.append(("decision", {**fields, "target": decision.target, "reason": decision.reason}))

    def _hear(self, episode: Episode, hears: Audience) -> None:
        """Note who hears of an episode's incident, and that nobody does."""
        self.audiences[episode.incident_id] |= hears.destinations
        if hears.timed and hears.destinations:
            self.told.add(episode.incident_id)  # a route that was silent may speak now
        if hears.nobody and self.desk.rules.routes and episode.incident_id in self.shelf.created:
            alertname = episode.labels.get("alertname", "")
            self.facts.append(("unrouted", {"incident": episode.incident_id, "alertname": alertname}))


def _waits(episode: Episode, rules: Rules) -> bool:
    """Whether a ``later`` verdict will bring the episode back by itself."""
    return episode.reconsider_at is not None and episode.reconsider_at < episode.evidence_at + rules.episode_ttl


async def _conclude(tx: Slice, work: _Work, progress: Sequence[DeliveryProgress]) -> Decided:
    """Judge, settle the incidents, write."""
    bench = await _judged(tx, work)
    created = list(bench.created_runs())
    await _settled(tx, work, [run.incident_id for run, _ in created])
    for run, served in created:
        fields = {"playbook": run.playbook, "target": run.target, "mode": run.mode.value, "episodes": len(served)}
        work.audit.append(Audit("run.created", run.id, details={**fields, "revision": run.revision}))
        work.facts.append(("run_created", {"run": run.id, **fields}))
    work.audit.extend(Audit("run.joined", run, details={"episode": episode}) for run, episode in bench.joins)
    told = {one for one in work.told | work.shelf.changed if one in work.shelf.by_id}
    changes = SliceChanges(
        # What ends goes first: an alert has one open episode at a time.
        episodes=sorted(work.episodes.values(), key=lambda episode: episode.state is not EpisodeState.CLOSED),
        incidents=[work.shelf.by_id[one] for one in sorted(work.shelf.changed)],
        decisions=work.decisions,
        runs=created,
        joins=list(bench.joins),
        tell={one: frozenset(work.audiences.get(one, ())) for one in sorted(told)},
        heirs=work.heirs,
        hold=work.holds,
        progress=progress,
        truncated=[group for _, group in sorted(work.truncated.items())],
        audit=work.audit,
    )
    await tx.write(changes)
    return Decided(changes, work.facts)


async def _judged(tx: Slice, work: _Work) -> Bench:
    offered = [option for case in work.cases.values() for option in case.options if option.target]
    targets = targets_of(offered)
    facts = Facts(
        now=tx.now,
        runs=work.near,
        usage=await tx.usage({option.pair: option.playbook.limits for option in offered}) if offered else {},
        quarantined=await tx.quarantined(targets) if targets else {},
        pauses=await tx.pauses() if targets else (),
        suspicion=tx.suspicion(),
    )
    bench = Bench(facts)
    for case in work.cases.values():
        work.conclude(case, judge(case, bench, work.desk.rules))
    return bench


async def _settled(tx: Slice, work: _Work, with_new_runs: Iterable[str]) -> None:
    """Bring the touched incidents in line with their episodes as they are after this slice."""
    shelf = work.shelf
    touched = sorted(shelf.touched)
    closed: list[str] = []
    existing = [one for one in touched if one not in shelf.created]
    ours: defaultdict[str, list[Episode]] = defaultdict(list)
    for episode in {**work.known, **work.episodes}.values():
        ours[episode.incident_id].append(episode)
    unsure = [one for one in existing if not shelf.settled_by(one, ours.get(one, ()))]
    others = await tx.others_of(unsure) if unsure else {}
    unfinished = dict(await tx.unfinished_runs_of(unsure)) if unsure else {}
    for incident_id in with_new_runs:
        unfinished[incident_id] = unfinished.get(incident_id, 0) + 1
    for incident_id in touched:
        was_open = shelf.by_id[incident_id].open
        if incident_id in unsure or incident_id in shelf.created:
            rest, working = others.get(incident_id), unfinished.get(incident_id, 0)
            shelf.settle(incident_id, ours.get(incident_id, ()), rest, working)
        if was_open and not shelf.by_id[incident_id].open:
            closed.append(incident_id)
    for incident_id in closed:  # an heir may itself have closed in this slice, so all must be settled first
        heir = shelf.heir(incident_id)
        if heir:
            work.heirs[incident_id] = heir
        details = {"reason": shelf.by_id[incident_id].closed_reason, **({"into": heir} if heir else {})}
        work.audit.append(Audit("incident.closed", incident_id, details=details))
    work.audit.extend(Audit("incident.opened", one) for one in sorted(shelf.created))
