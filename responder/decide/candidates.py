"""The chain of candidates for one episode: what is done about it, and why nothing else is."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import takewhile

from responder.decide.bench import Bench, Draft
from responder.decide.guards import (
    OF_AN_EFFECT,
    OF_THE_ALERT,
    OF_THE_MOMENT,
    Question,
    disabled,
    first_refusal,
    muted,
    retry_at,
)
from responder.decide.newrun import new_run
from responder.decide.options import Option
from responder.decide.rules import Rules
from responder.domain.episodes import Decision, Episode, EpisodeState
from responder.domain.limits import Refusal, Subject, tripped
from responder.domain.modes import Mode
from responder.domain.runs import HELPED, RunState
from responder.domain.verdicts import Verdict
from responder.playbook.model import Playbook
from responder.ports.store import RunFact

SKIPPED_BACK_OFF = timedelta(seconds=30)
SKIPPED_BACK_OFF_MAX = timedelta(minutes=15)
"""Between two runs that look whether a playbook may act by now; doubled each time, so that it never takes longer to
notice than it has lasted already. Each look is a run of its own: it is what was looked at."""
FAILED_BACK_OFF = timedelta(seconds=15)
FAILED_BACK_OFF_MAX = timedelta(minutes=10)
"""Between two tries that ``attempts`` allows on one alert; doubled each time."""
ASKS_FOR_A_PERSON = frozenset({Verdict.ATTEMPTS_EXHAUSTED, Verdict.RECURRING})
"""A playbook that has had its turns; where no other one takes the alert on, somebody has to."""
_DECLINED = "It ended by a person's word, or for want of one, so it is not begun again for this alert."
TAKEN = frozenset({Verdict.RUN, Verdict.JOINED, Verdict.TOLD})
"""Verdicts by which a candidate takes the alert on."""


@dataclass(frozen=True, slots=True)
class Case:
    """An episode to be judged. ``urgent``: it is new, changed or due, not merely heard of again.

    ``comes_back_at``: when it was to be looked at anyway; hearing of it again takes nothing of that away.
    """

    episode: Episode
    options: tuple[Option, ...]
    urgent: bool = True
    comes_back_at: datetime | None = None


@dataclass(slots=True)
class Judgement:
    """What was decided about one episode. ``leading`` is the playbook whose wishes count in telling.

    ``may_act``: a playbook with steps fits that is not disabled. ``may_change``: one of them does more than observe.
    """

    decisions: list[Decision] = field(default_factory=list)
    leading: Playbook | None = None
    handled: bool = False
    may_act: bool = False
    may_change: bool = False
    retry_at: datetime | None = None
    after: str = ""
    needs_person: str = ""
    needs_person_run: str = ""

    def verdicts(self) -> set[str]:
        """Return the verdicts that were reached."""
        return {decision.verdict for decision in self.decisions}

    def waits_or_acts(self) -> bool:
        """Whether a candidate took the alert on or may do so later."""
        return self.retry_at is not None or not TAKEN.isdisjoint(self.verdicts())


def judge(case: Case, bench: Bench, rules: Rules) -> Judgement:
    """Go through the candidates of one episode; runs that come of it are left on the bench."""
    return _Judge(case, bench, rules).judge()


class _Judge:
    """One episode before the bench."""

    def __init__(self, case: Case, bench: Bench, rules: Rules) -> None:
        self._case = case
        self._episode = case.episode
        self._bench = bench
        self._rules = rules
        self._runs = bench.runs_of(case.episode.id)
        self._result = Judgement(after=case.episode.after)

    def judge(self) -> Judgement:
        options = [self._as_allowed(option) for option in self._case.options]
        self._result.handled = any(option.mode is not Mode.DISABLED for option in options)
        self._result.may_act = any(option.playbook.steps and option.mode is not Mode.DISABLED for option in options)
        self._result.may_change = any(
            option.playbook.steps and option.mode.reach > Mode.OBSERVE.reach for option in options
        )
        if not options:
            self._note(None, Verdict.NO_MATCH, Verdict.NO_MATCH.sentence)
        elif self._episode.state is EpisodeState.LATE:
            self._late(options[0])
        elif not any(not run.state.final and run.state not in HELPED for run in self._runs):
            last_word = next((run for run in reversed(self._runs) if run.said_no or _is_for_people(run)), None)
            verified = next((run for run in self._runs if run.state in HELPED), None)
            if last_word is not None:
                self._left_to_people(options, last_word)
            elif verified is not None:
                self._fixed(options, verified)
            else:
                self._chain(options)
        return self._result

    def _as_allowed(self, option: Option) -> Option:
        """Return the option in the mode that it has now: what has tripped asks."""
        if option.mode is Mode.AUTO and self._tripped(option) is not None:
            return replace(option, mode=Mode.APPROVE)
        return option

    def _tripped(self, option: Option) -> Refusal | None:
        subject = Subject(option.playbook.name, option.target)
        return tripped(self._bench.facts.pauses, subject, self._bench.now)

    def _late(self, option: Option) -> None:
        wait = self._rules.group_interval + timedelta(seconds=60)
        settles = self._episode.evidence_at + wait
        reason = f"{Verdict.LATE.sentence} It counts when it is heard again after {settles:%H:%M:%S} UTC."
        self._note(option, Verdict.LATE, reason)

    def _left_to_people(self, options: Sequence[Option], run: RunFact) -> None:
        """A person said no, or is asked: nothing further is begun for the alert, whatever playbooks there are by now.

        That of the run may be muted, disabled or gone since, which gives no other one a turn.
        """
        option = next((one for one in options if one.playbook.name == run.playbook), None)
        self._note(option, Verdict.ACTED, _ran(run), run_id=run.id)
        self._result.leading = self._first_enabled(options) if option is None else option.playbook

    def _fixed(self, options: Sequence[Option], verified: RunFact) -> None:
        """One candidate fixed it: that is what each of them hears from now on."""
        for option in options:
            if option.playbook.name == verified.playbook:
                self._note(option, Verdict.ACTED, _ran(verified), run_id=verified.id)
                self._result.leading = option.playbook
            else:
                reason = f"{Verdict.SUPERSEDED.sentence} {verified.playbook}, run {verified.id}."
                self._note(option, Verdict.SUPERSEDED, reason, run_id=verified.id)

    def _chain(self, options: Sequence[Option]) -> None:
        """Start behind the candidate whose run did not help; at the end of the chain try again later, or ask."""
        names = [option.playbook.name for option in options]
        start = names.index(self._episode.after) + 1 if self._episode.after in names else 0
        self._walk(options[start:])
        if not self._result.waits_or_acts() and self._case.urgent and Verdict.LOOP not in self._result.verdicts():
            if start:
                self._at_the_end(options[:start])
            elif ASKS_FOR_A_PERSON & set(self._result.verdicts()):
                self._ask_for_exhausted()
        if self._result.leading is None:
            self._result.leading = self._first_enabled(options)

    def _first_enabled(self, options: Sequence[Option]) -> Playbook | None:
        return next((one.playbook for one in options if one.mode is not Mode.DISABLED), None)

    def _at_the_end(self, tried: Sequence[Option]) -> None:
        last = next((run for run in reversed(self._runs) if run.playbook == self._episode.after), None)
        if last is None or last.state is RunState.SKIPPED:
            skipped = sum(run.state is RunState.SKIPPED for run in self._runs)
            wait = min(SKIPPED_BACK_OFF * 2 ** min(max(skipped - 1, 0), 10), SKIPPED_BACK_OFF_MAX)
            self._result.retry_at = self._bench.now + wait
            self._result.after = ""
            return
        # `attempts` may allow what was tried once more before a person is asked.
        again = [option for option in tried if (option.playbook.limits.attempts or 1) > 1]
        self._walk(again)
        if not self._result.waits_or_acts():
            reason = f"{last.playbook}: {_ran(last)} No other playbook applies."
            self._result.needs_person = reason
            self._result.needs_person_run = last.id

    def _ask_for_exhausted(self) -> None:
        for decision in self._result.decisions:
            if decision.verdict in ASKS_FOR_A_PERSON:
                self._result.needs_person = f"{decision.playbook} on {decision.target}: {decision.reason}"

    def _walk(self, options: Sequence[Option]) -> None:
        """Ask each option in order until one takes the alert on, or one says that it has to wait."""
        watched: Mode | None = None
        for option in options:
            if watched is not None and option.mode.reach <= watched.reach:
                continue
            taken, stops = self._consider(option)
            if taken:
                self._result.leading = option.playbook
            if stops:
                return
            if taken:
                # What only watches does not keep a playbook that may act from acting.
                watched = option.mode

    def _consider(self, option: Option) -> tuple[bool, bool]:
        """Decide one option; says whether it took the alert on, and whether the chain stops here."""
        if option.playbook.tells_only:
            return self._tell(option)
        refusal = first_refusal(OF_THE_ALERT, self._question(option))
        if refusal is not None:
            return False, self._refuse(option, refusal)
        acted = self._acted(option)
        if acted is not None:
            run, stops = acted
            self._note(option, Verdict.ACTED, _ran(run), run_id=run.id)
            return run.state is RunState.OBSERVED, stops
        too_soon = self._too_soon(option)
        if too_soon is not None:
            return False, self._refuse(option, too_soon)
        return self._act(option)

    def _too_soon(self, option: Option) -> Refusal | None:
        """Let a target that a playbook has just failed on come to rest before the same is tried again."""
        done = [run for run in self._runs if run.playbook == option.playbook.name and _counts(run, option.mode)]
        last = max((run.finished_at for run in done if run.finished_at is not None), default=None)
        if last is None or option.mode is Mode.OBSERVE:
            return None
        again = last + min(FAILED_BACK_OFF * 2 ** min(len(done) - 1, 10), FAILED_BACK_OFF_MAX)
        asked = max((run.left_alone_until for run in done if run.left_alone_until is not None), default=again)
        why = ": the target asks to be left alone until then (Retry-After)" if asked > again else ""
        again = max(again, asked)
        if self._bench.now >= again:
            return None
        due = f"Try {len(done)} had no success; the next one is due at {again:%H:%M:%S} UTC{why}."
        reason = f"{Verdict.COOLDOWN.sentence} {due}"
        return Refusal(Verdict.COOLDOWN, reason, again)

    def _tell(self, option: Option) -> tuple[bool, bool]:
        """Take the alert on by telling: what must never be automated is not left to another playbook."""
        refusal = first_refusal((disabled, muted), self._question(option))
        if refusal is not None:
            return False, self._refuse(option, refusal)
        self._note(option, Verdict.TOLD, Verdict.TOLD.sentence)
        return True, True

    def _act(self, option: Option) -> tuple[bool, bool]:
        """Join or start a run, unless the moment is wrong."""
        refusal = first_refusal(OF_THE_MOMENT, self._question(option))
        if refusal is None and self._join(option):
            return True, True
        if refusal is None and option.mode is not Mode.OBSERVE and not option.playbook.late_bound:
            # What was done to a target that only its run will know, the run is asked itself.
            refusal = first_refusal(OF_AN_EFFECT, self._question(option))
        if refusal is not None:
            return False, self._refuse(option, refusal)
        self._start(option)
        return True, option.mode is not Mode.OBSERVE

    def _question(self, option: Option) -> Question:
        return Question(option, self._episode, self._bench, self._rules)

    def _acted(self, option: Option) -> tuple[RunFact, bool] | None:
        """Return the run that settled this option for the episode, and whether the chain ends with it.

        A skipped run changed nothing and settles nothing; one that only observed settles as long as the playbook only
        observes. Behind an undone run the next candidate has its turn.
        """
        done = [run for run in self._runs if run.playbook == option.playbook.name and _counts(run, option.mode)]
        if not done:
            return None
        last = done[-1]
        if len(done) < (option.playbook.limits.attempts or 1) and last.state is not RunState.OBSERVED:
            return None
        if last.state is RunState.OBSERVED or self._passed_on(last):
            return last, False
        return last, True

    def _passed_on(self, last: RunFact) -> bool:
        if last.state is not RunState.ROLLED_BACK:
            return False
        return self._episode.after == last.playbook or any(
            run.playbook != last.playbook and run.created_at >= last.created_at for run in self._runs
        )

    def _join(self, option: Option) -> bool:
        """Take part in a run of the same playbook on the same target; the first alert's labels stay its own."""
        draft = self._bench.drafts.get(option.pair)
        if draft is not None:
            draft.episodes.add(self._episode.id)
            run_id = draft.run.id
        else:
            run = self._bench.run_to_join(option.pair)
            if run is None:
                return False
            self._bench.joins[run.id, self._episode.id] = None
            run_id = run.id
        self._note(option, Verdict.JOINED, f"{Verdict.JOINED.sentence} Run {run_id}.", run_id=run_id)
        return True

    def _start(self, option: Option) -> None:
        team = self._rules.team_of(self._episode.labels)
        cause = self._bench.cause(option.pair, self._episode)
        run = new_run(option, self._episode, team, self._bench.now, cause, skipped=self._skipped(option))
        self._bench.add(Draft(run, {self._episode.id}), option)
        trip = self._tripped(option)
        why = f" {trip.reason}" if trip is not None else ""
        after = f" The alert began after run {cause.run} here." if cause.run else ""
        self._note(option, Verdict.RUN, f"{Verdict.RUN.sentence} Mode {option.mode}.{why}{after}", run_id=run.id)

    def _skipped(self, option: Option) -> int:
        """Count the runs of the playbook for the alert that were skipped in a row, up to now."""
        mine = [run for run in self._runs if run.playbook == option.playbook.name]
        return sum(1 for _ in takewhile(lambda run: run.state is RunState.SKIPPED and not run.effects, reversed(mine)))

    def _refuse(self, option: Option, refusal: Refusal) -> bool:
        """Write down a refusal; says whether the chain stops: what has to wait is not replaced by something blunter.

        A muted playbook does not count at this time, so the next one has its turn. A loop ends with a person.
        """
        if refusal.verdict is Verdict.LOOP:
            self._note(option, refusal.verdict, refusal.reason)
            if self._case.urgent:
                self._result.needs_person = f"{option.playbook.name} on {option.target}: {refusal.reason}"
            return True
        at = retry_at(refusal, self._bench.now) if refusal.verdict.later else None
        self._note(option, refusal.verdict, refusal.reason, at=at)
        if at is not None:
            known = self._result.retry_at
            self._result.retry_at = at if known is None else min(known, at)
        return refusal.verdict.later and refusal.verdict is not Verdict.MUTED

    def _note(
        self, option: Option | None, verdict: Verdict, reason: str, *, run_id: str = "", at: datetime | None = None
    ) -> None:
        self._result.decisions.append(
            Decision(
                episode_id=self._episode.id,
                playbook="" if option is None else option.playbook.name,
                verdict=verdict.value,
                reason=reason,
                at=self._bench.now,
                target="" if option is None or option.playbook.late_bound else option.target,
                run_id=run_id,
                retry_at=at,
            ),
        )


def _counts(run: RunFact, mode: Mode) -> bool:
    if not run.state.final:
        return False
    if run.state is RunState.OBSERVED:
        return mode is Mode.OBSERVE
    return run.state is not RunState.SKIPPED or run.effects > 0


def _is_for_people(run: RunFact) -> bool:
    """Say whether a run has left a target on which people have to look: nothing is tried over what stands in doubt."""
    if run.state in (RunState.FAILED, RunState.EXPIRED):
        return run.effects > 0
    return run.state in (RunState.UNKNOWN, RunState.PARTLY_ROLLED_BACK)


def _ran(run: RunFact) -> str:
    changes = f"{run.effects} effects" if run.effects != 1 else "1 effect"
    if run.state in HELPED and not run.state.final:
        return f"Run {run.id} on {run.target} helped with {changes}, and is {run.state.value} for now."
    ended = f" at {run.finished_at:%H:%M:%S} UTC" if run.finished_at else ""
    said_no = f" {_DECLINED}" if run.said_no else ""
    return f"Run {run.id} on {run.target} ended {run.state.value.replace('_', ' ')}{ended} after {changes}.{said_no}"
