"""What the judge has before it: the facts that a slice read, and the runs that the slice itself creates."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from responder.decide.options import Option
from responder.domain.causes import Cause, Touch, began, cause_of
from responder.domain.episodes import Episode
from responder.domain.limits import NOTHING_SHARED, Pause, Shared, Usage
from responder.domain.modes import Mode
from responder.domain.runs import JOINABLE, Run, RunState
from responder.domain.suspicion import Suspicion
from responder.domain.targets import ancestors
from responder.ports.store import RunFact

NOT_IN_THE_WAY = frozenset({RunState.AWAITING_APPROVAL, RunState.KEPT})
"""States in which a run neither holds its target's slot nor is about to (engine.md)."""

_NOTHING_GIVEN: tuple[int, tuple[datetime, ...]] = (0, ())


@dataclass(slots=True)
class Draft:
    """A run that this slice creates, with the episodes that it serves."""

    run: Run
    episodes: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read: runs near the targets and of the episodes, usage, doubts, stop signs."""

    now: datetime
    runs: Sequence[RunFact] = ()
    usage: Mapping[tuple[str, str], Usage] = field(default_factory=dict)
    quarantined: Mapping[str, str] = field(default_factory=dict)
    pauses: Sequence[Pause] = ()
    suspicion: Suspicion | None = None


class Bench:
    """Answers questions about the facts by look-up, however many alerts a slice holds."""

    def __init__(self, facts: Facts) -> None:
        """Index the facts."""
        self.facts = facts
        self.now = facts.now
        self.drafts: dict[tuple[str, str], Draft] = {}
        self.joins: dict[tuple[str, str], None] = {}
        self._of_episode: defaultdict[str, list[RunFact]] = defaultdict(list)
        self._joinable: dict[tuple[str, str], RunFact] = {}
        self._at: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        self._below: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        self._given: dict[str, tuple[int, tuple[datetime, ...]]] = {}
        self._touched: defaultdict[str, list[Touch]] = defaultdict(list)
        self._touched_below: defaultdict[str, list[Touch]] = defaultdict(list)
        self._left_alone: dict[str, datetime] = {}
        for run in facts.runs:
            if run.left_alone_until is not None:
                self._left_alone[run.target] = max(run.left_alone_until, self.left_alone(run.target))
            for episode in run.episodes:
                self._of_episode[episode].append(run)
            if not run.state.final:
                self._index(run)
            touch = run.touch(self.now)
            if touch is not None:
                self._touch(touch)

    def _index(self, run: RunFact) -> None:
        if run.state in JOINABLE:
            self._joinable.setdefault((run.playbook, run.target), run)
        if run.state not in NOT_IN_THE_WAY:
            self._occupy(run.target, run.playbook, run.id)

    def _touch(self, touch: Touch) -> None:
        self._touched[touch.target].append(touch)
        for name in ancestors(touch.target):
            self._touched_below[name].append(touch)

    def _occupy(self, target: str, playbook: str, run_id: str) -> None:
        self._at[target].append((playbook, run_id))
        for name in (target, *ancestors(target)):
            self._below[name].append((playbook, run_id))

    def runs_of(self, episode_id: str) -> Sequence[RunFact]:
        """Return every run that serves or served the episode, oldest first."""
        return sorted(self._of_episode.get(episode_id, ()), key=lambda run: (run.created_at, run.id))

    def run_to_join(self, pair: tuple[str, str]) -> RunFact | None:
        """Return the run of this playbook on this target that is still under way."""
        return self._joinable.get(pair)

    def holder(self, target: str) -> tuple[str, str] | None:
        """Return (playbook, run) of one that works at, above or below the target."""
        for found in (self._below.get(target), *(self._at.get(name) for name in ancestors(target))):
            if found:
                return found[0]
        return None

    def left_alone(self, target: str) -> datetime:
        """Return until when a target has asked to be left alone, as far as the runs say that were read; now if not."""
        return self._left_alone.get(target, self.now)

    def cause(self, pair: tuple[str, str], episode: Episode) -> Cause:
        """Return what a run of this playbook on this target would follow from.

        A run that serves the episode itself is no cause of it, whatever the clocks say.
        """
        target = pair[1]
        if not self._touched or not target:
            return Cause()
        own = {run.id for run in self._of_episode.get(episode.id, ())}
        near = [*self._touched_below.get(target, ())]
        for name in (target, *ancestors(target)):
            near += self._touched.get(name, ())
        return cause_of((one for one in near if one.run not in own), *pair, began(episode))

    def usage(self, pair: tuple[str, str]) -> Usage:
        """Return the usage of a playbook and target, with what this slice has given out already."""
        usage = self.facts.usage.get(pair, Usage())
        runs, effects = self._given.get(pair[0], _NOTHING_GIVEN)
        keys = {*usage.shared, *self._given}
        shared = {key: self._with_given(key, usage.shared.get(key, NOTHING_SHARED)) for key in keys}
        by_playbook = (*usage.by_playbook, *effects)
        return replace(usage, running=usage.running + runs, by_playbook=by_playbook, shared=shared)

    def _with_given(self, cap: str, found: Shared) -> Shared:
        runs, effects = self._given.get(cap, _NOTHING_GIVEN)
        return replace(found, running=found.running + runs, effects=(*found.effects, *effects))

    def add(self, draft: Draft, option: Option) -> None:
        """Note a run that this slice creates for ``option``; one that only observes takes no room."""
        self.drafts[draft.run.playbook, draft.run.target] = draft
        if option.mode is Mode.OBSERVE:
            return
        self._occupy(draft.run.target, draft.run.playbook, draft.run.id)
        limits = option.playbook.limits
        counted = dict.fromkeys(cap.key for cap in limits.caps)
        if limits.concurrent is not None or limits.per_playbook is not None:
            counted[draft.run.playbook] = None
        added = (self.now,) * option.playbook.effects
        for key in counted:
            runs, effects = self._given.get(key, _NOTHING_GIVEN)
            self._given[key] = (runs + 1, (*effects, *added))

    def created_runs(self) -> Iterable[tuple[Run, frozenset[str]]]:
        """Return the new runs with the episodes that they serve."""
        return [(draft.run, frozenset(draft.episodes)) for draft in self.drafts.values()]
