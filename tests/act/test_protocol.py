"""The effect protocol where a turn dies, is too slow or has lost its lease: what is sent, and what a person is told."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar, Literal, cast

import pytest
from pydantic import JsonValue

import tests.act_bed
from responder.act import after
from responder.act.actor import take_turn
from responder.actions.http_request import HttpRequest
from responder.app import catalogue
from responder.domain.errors import Conflict
from responder.domain.limits import NO_LIMITS, Refusal
from responder.domain.records import Record, RecordState
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.ports.action import Action
from responder.ports.catalogue import Catalogue
from responder.ports.store import Authority, RunStore
from responder.ports.tools import Tools
from tests.act_bed import SECOND_STEP, TARGET, Bed, Wall, needs_person, playbook_text
from tests.bed import ledger
from tests.bed.target_peer import Target

NOT_HELPING = playbook_text(verify="equals: 99", within="1s")


class DeadTurn(BaseException):
    """The process ended here; nothing of ours catches it."""


class Watched:
    """A store that ends the turn, or lets time pass, at one of its calls."""

    def __init__(self, bed: Bed, call: str, *, committed: bool) -> None:
        self._bed, self._call, self._committed = bed, call, committed

    def __getattr__(self, name: str) -> object:
        found = getattr(self._bed.store, name)
        if name != self._call:
            return found

        async def dies(*arguments: object) -> object:
            if self._committed:
                await found(*arguments)
            raise DeadTurn

        return dies


class Jumping(Wall):
    """A clock that can be set on."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Slow:
    """A store whose permission takes 0.8 s to arrive, as often as told."""

    def __init__(self, bed: Bed, clock: Jumping, times: int) -> None:
        self._bed, self._clock, self._times = bed, clock, times

    def __getattr__(self, name: str) -> object:
        return getattr(self._bed.store, name)

    async def intend(self, run: Run, record: Record, authority: Authority) -> Refusal | None:
        refusal = await self._bed.store.intend(run, record, authority)
        if self._times:
            self._times -= 1
            self._clock.ahead += 0.8
        return refusal


async def die(bed: Bed, run: Run, call: str, *, committed: bool) -> Run:
    """Take the run's turn until it dies at ``call``, before or after that call took effect; give it as it stands."""
    engine = replace(bed.engine, store=cast("RunStore", Watched(bed, call, committed=committed)))
    with pytest.raises(DeadTurn):
        await take_turn(engine, await current(bed, run))
    return await current(bed, run)


async def current(bed: Bed, run: Run) -> Run:
    found = await bed.store.run(run.id)
    assert found is not None
    return found


async def claimed(bed: Bed, text: str) -> Run:
    await bed.begin(text)
    [run] = await bed.store.claim_runs(1)
    return run


async def go_on(bed: Bed, run: Run) -> Run:
    """Take turns under the lease that there is: what another replica does when it has run out."""
    for _ in range(100):
        run = await take_turn(bed.engine, await current(bed, run))
        if run.state.final:
            return await current(bed, run)
        await bed.store.claim_runs(4)
    raise AssertionError(f"run {run.id} did not come to its end")


async def states(bed: Bed, run: Run) -> list[RecordState]:
    account = await bed.store.account(run.incident_id)
    assert account is not None
    return [record.state for record in sorted(account.records, key=lambda record: record.created_at)]


async def asks_a_person(bed: Bed, run: Run) -> bool:
    return bool(await needs_person(bed, run)) and TARGET in await quarantined(bed)


async def quarantined(bed: Bed) -> set[str]:
    async with bed.store.slice() as tx:
        return set(await tx.quarantined({TARGET}))


# --- a yes ----------------------------------------------------------------------------------------------------------


async def approved(bed: Bed) -> Run:
    """Return a claimed run that a person has agreed to."""
    run = await bed.work(await bed.begin(playbook_text(mode="approve")), until=frozenset({RunState.AWAITING_APPROVAL}))
    await bed.store.answer(run.id, approve=True, actor="ana", plan_hash=run.progress.plan_hash, comment="")
    [run] = await bed.store.claim_runs(1)
    return run


@pytest.mark.parametrize(("call", "committed"), [("use_approval", True), ("intend", False), ("intend", True)])
async def test_a_yes_outlives_the_turn_that_took_it(bed: Bed, target: Target, call: str, *, committed: bool) -> None:
    run = await go_on(bed, await die(bed, await approved(bed), call, committed=committed))
    assert run.state is RunState.VERIFIED, run.reason
    assert len(ledger.effects(target.ledger.entries)) == 1


async def test_a_yes_whose_turn_died_counts_for_its_own_plan_only(bed: Bed, target: Target) -> None:
    run = await die(bed, await approved(bed), "use_approval", committed=True)
    target.resources["workers"] = {"workers": 3}
    run = await take_turn(bed.engine, run)
    assert run.state is RunState.AWAITING_APPROVAL
    standing = await bed.store.standing(run, NO_LIMITS)
    assert standing.approval is not None
    assert standing.approval.state == "pending"
    assert target.ledger.entries == []


# --- the permission's age -------------------------------------------------------------------------------------------


async def test_a_permission_that_took_too_long_is_not_used(bed: Bed, target: Target) -> None:
    clock = Jumping(bed.store)
    bed.engine = replace(bed.engine, clock=clock, store=cast("RunStore", Slow(bed, clock, 1)))
    run = await take_turn(bed.engine, await claimed(bed, playbook_text()))
    assert run.state is RunState.ACTING
    assert await states(bed, run) == [RecordState.NOT_APPLIED]
    assert target.ledger.entries == []
    run = await bed.work(run)
    assert run.state is RunState.VERIFIED, run.reason
    assert await states(bed, run) == [RecordState.NOT_APPLIED, RecordState.APPLIED]
    assert len(target.ledger.entries) == 1


# --- a dead turn, forwards ------------------------------------------------------------------------------------------


async def test_a_turn_that_died_before_it_sent_is_made_up_for_under_the_same_key(bed: Bed, target: Target) -> None:
    run = await die(bed, await claimed(bed, playbook_text()), "intend", committed=True)
    assert await states(bed, run) == [RecordState.INTENDED]
    assert target.ledger.entries == []
    run = await go_on(bed, run)
    assert run.state is RunState.VERIFIED, run.reason
    assert await states(bed, run) == [RecordState.APPLIED]
    assert len(target.ledger.entries) == 1


async def test_a_turn_that_died_after_it_sent_does_not_send_again(bed: Bed, target: Target) -> None:
    run = await die(bed, await claimed(bed, playbook_text()), "settle", committed=False)
    assert await states(bed, run) == [RecordState.INTENDED]
    assert len(target.ledger.entries) == 1
    run = await go_on(bed, run)
    assert run.state is RunState.VERIFIED, run.reason
    assert run.effects == 1
    assert len(target.ledger.entries) == 1


async def test_a_turn_that_died_after_it_wrote_everything_down_goes_on(bed: Bed, target: Target) -> None:
    run = await die(bed, await claimed(bed, playbook_text(more_steps=SECOND_STEP)), "settle", committed=True)
    assert await states(bed, run) == [RecordState.APPLIED]
    run = await go_on(bed, run)
    assert run.state is RunState.VERIFIED, run.reason
    assert [entry.name for entry in target.ledger.entries] == ["workers", "cache"]


async def test_a_dead_turn_that_nobody_can_judge_is_left_to_a_person(bed: Bed, target: Target) -> None:
    run = await die(bed, await claimed(bed, playbook_text()), "intend", committed=True)
    target.resources["workers"] = {**target.resources["workers"], "workers": 7}
    run = await go_on(bed, run)
    assert (run.state, run.verdict) == (RunState.UNKNOWN, Verdict.UNCERTAIN)
    assert await states(bed, run) == [RecordState.UNCERTAIN]
    assert target.ledger.entries == []
    assert await asks_a_person(bed, run)


@pytest.mark.parametrize(("times", "state"), [(2, RunState.VERIFIED), (1000, RunState.UNKNOWN)])
async def test_a_target_that_cannot_be_read_is_asked_again_and_then_it_is_left_to_a_person(
    bed: Bed, target: Target, monkeypatch: pytest.MonkeyPatch, times: int, state: RunState
) -> None:
    monkeypatch.setattr("responder.act.during.LANDING_GRACE", timedelta(seconds=0.01))
    run = await die(bed, await claimed(bed, playbook_text()), "settle", committed=False)
    target.fault("503", times=times, on="read")
    run = await go_on(bed, run)
    assert run.state is state, run.reason
    assert len(target.ledger.entries) == 1
    assert await states(bed, run) == [RecordState.APPLIED if times == 2 else RecordState.UNCERTAIN]


async def test_after_an_undo_a_target_that_cannot_be_read_is_asked_again(
    bed: Bed, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(after, "LANDING_GRACE", timedelta(seconds=0.01))
    run = await die(bed, await undoing(bed), "settle", committed=False)
    target.fault("503", times=2, on="read")
    run = await go_on(bed, run)
    assert run.state is RunState.ROLLED_BACK, run.reason
    assert len(target.ledger.entries) == 2
    assert await states(bed, run) == [RecordState.UNDONE]


async def test_nothing_is_undone_behind_a_step_in_doubt(bed: Bed, target: Target) -> None:
    run = await claimed(bed, playbook_text(more_steps=SECOND_STEP))
    run = await die(bed, run, "settle", committed=True)
    run = await die(bed, run, "intend", committed=True)
    target.resources["cache"] = {"megabytes": 99}
    run = await go_on(bed, run)
    assert run.state is RunState.UNKNOWN
    assert await states(bed, run) == [RecordState.APPLIED, RecordState.UNCERTAIN]
    assert target.resources["workers"]["workers"] == 6
    assert len(target.ledger.entries) == 1


async def test_a_made_up_send_that_is_refused_is_not_looked_at_for_ever(
    bed: Bed, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal may come from the first send having landed: it is looked at again, and then a person decides."""
    monkeypatch.setattr("responder.act.during.LANDING_GRACE", timedelta(seconds=0.05))
    run = await die(bed, await claimed(bed, playbook_text()), "intend", committed=True)
    target.fault("403", times=1000)
    run = await go_on(bed, run)
    assert (run.state, run.verdict) == (RunState.UNKNOWN, Verdict.UNCERTAIN)
    assert await asks_a_person(bed, run)
    assert [entry for entry in target.ledger.entries if entry.applied] == []


async def test_a_dead_turn_whose_alert_is_gone_meanwhile_sends_nothing(bed: Bed, target: Target) -> None:
    run = await die(bed, await claimed(bed, playbook_text()), "intend", committed=True)
    await bed.close_episode(run)
    run = await take_turn(bed.engine, run)
    assert run.state is RunState.ACTING
    assert target.ledger.entries == []


# --- a dead turn, backwards -----------------------------------------------------------------------------------------


async def undoing(bed: Bed) -> Run:
    return await reaching(bed, NOT_HELPING, RunState.UNDOING)


async def keeping(bed: Bed) -> Run:
    """Give a run that has kept its change for long enough."""
    text = playbook_text(verify="at_least: 6", within="1s", tail="revert_after: 100ms")
    return await reaching(bed, text, RunState.KEPT)


async def reaching(bed: Bed, text: str, state: RunState) -> Run:
    await bed.begin(text)
    while True:
        for run in await bed.store.claim_runs(1):
            if run.state is state:
                return run
            await take_turn(bed.engine, run)


async def test_an_undo_that_died_before_it_was_sent_is_sent_once(bed: Bed, target: Target) -> None:
    run = await die(bed, await undoing(bed), "intend_undo", committed=True)
    assert await states(bed, run) == [RecordState.UNDO_INTENDED]
    assert target.resources["workers"]["workers"] == 6
    run = await go_on(bed, run)
    assert run.state is RunState.ROLLED_BACK, run.reason
    assert target.resources["workers"]["workers"] == 4
    assert len(target.ledger.entries) == 2


async def test_an_undo_that_died_after_it_was_sent_is_recognised(bed: Bed, target: Target) -> None:
    run = await die(bed, await undoing(bed), "settle", committed=False)
    assert await states(bed, run) == [RecordState.UNDO_INTENDED]
    run = await go_on(bed, run)
    assert run.state is RunState.ROLLED_BACK, run.reason
    assert await states(bed, run) == [RecordState.UNDONE]
    assert len(target.ledger.entries) == 2


async def test_an_undo_that_nobody_can_judge_is_left_to_a_person(bed: Bed, target: Target) -> None:
    run = await die(bed, await undoing(bed), "intend_undo", committed=True)
    target.resources["workers"] = {**target.resources["workers"], "workers": 7}
    run = await go_on(bed, run)
    assert (run.state, run.verdict) == (RunState.UNKNOWN, Verdict.UNDO_UNCERTAIN)
    # A permission that was too old to be used leaves a record, too: nothing was sent for it.
    found = [one for one in await states(bed, run) if one is not RecordState.NOT_APPLIED]
    assert found == [RecordState.UNDO_UNCERTAIN]
    assert target.resources["workers"]["workers"] == 7
    assert await asks_a_person(bed, run)


@pytest.mark.parametrize("kept", [False, True])
async def test_an_undo_in_doubt_is_left_to_a_person_though_the_turn_that_found_it_died(
    bed: Bed, target: Target, *, kept: bool
) -> None:
    run = await die(bed, await (keeping(bed) if kept else undoing(bed)), "intend_undo", committed=True)
    target.resources["workers"] = {**target.resources["workers"], "workers": 7}
    run = await die(bed, run, "settle", committed=True)
    assert RecordState.UNDO_UNCERTAIN in await states(bed, run)
    run = await go_on(bed, run)
    assert (run.state, run.verdict) == (RunState.UNKNOWN, Verdict.UNDO_UNCERTAIN)
    assert await asks_a_person(bed, run)
    assert (await bed.store.standing(run, NO_LIMITS)).quarantined


async def test_a_rollback_that_leaves_an_undo_in_doubt_ends_unknown(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text()))
    rollback = await bed.store.roll_back(run.id, "ana", "")
    assert isinstance(rollback, Run)
    await bed.work(rollback, until=frozenset({RunState.UNDOING}))
    await bed.store.claim_runs(1)
    await die(bed, rollback, "intend_undo", committed=True)
    target.resources["workers"] = {**target.resources["workers"], "workers": 7}
    await die(bed, rollback, "settle", committed=True)
    assert RecordState.UNDO_UNCERTAIN in await states(bed, run)
    ended = await go_on(bed, rollback)
    assert (ended.state, ended.verdict) == (RunState.UNKNOWN, Verdict.UNDO_UNCERTAIN)
    assert (await bed.store.standing(ended, NO_LIMITS)).quarantined


async def test_what_could_not_be_given_back_is_told_though_the_turn_that_found_it_died(
    bed: Bed, target: Target
) -> None:
    run = await keeping(bed)
    target.fault("403")
    run = await die(bed, run, "settle", committed=True)
    assert RecordState.UNDO_FAILED in await states(bed, run)
    run = await go_on(bed, run)
    assert (run.state, run.verdict) == (RunState.VERIFIED, Verdict.NOT_GIVEN_BACK)
    assert await asks_a_person(bed, run)


@pytest.mark.parametrize("fault", ["503", "reset"])
async def test_an_undo_that_stays_in_doubt_is_told_to_a_person_in_the_end(
    bed: Bed, target: Target, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(after, "LANDING_GRACE", timedelta(milliseconds=20))
    run = await undoing(bed)
    target.fault(fault, times=1000)
    run = await go_on(bed, run)
    assert (run.state, run.verdict) == (RunState.UNKNOWN, Verdict.UNDO_UNCERTAIN)
    assert await states(bed, run) == [RecordState.UNDO_UNCERTAIN]
    assert await asks_a_person(bed, run)
    assert len(ledger.effects(target.ledger.entries)) == 1


# --- a lost lease ---------------------------------------------------------------------------------------------------


async def test_a_turn_without_its_lease_starts_nothing(bed: Bed, target: Target) -> None:
    run = await claimed(bed, playbook_text())
    with pytest.raises(Conflict):
        await take_turn(bed.engine, replace(run, epoch=run.epoch - 1))
    assert target.ledger.entries == []
    assert await states(bed, run) == []


@pytest.mark.promise(7)
async def test_a_turn_that_loses_its_lease_before_a_step_does_not_send_it(bed: Bed, target: Target) -> None:
    run = await die(bed, await claimed(bed, playbook_text()), "intend", committed=False)
    acting = replace(run, state=RunState.ACTING, epoch=run.epoch - 1)
    with pytest.raises(Conflict):
        await take_turn(bed.engine, acting)
    assert target.ledger.entries == []
    assert await states(bed, run) == []


async def test_a_turn_without_its_lease_undoes_nothing(bed: Bed, target: Target) -> None:
    run = await undoing(bed)
    with pytest.raises(Conflict):
        await take_turn(bed.engine, replace(run, epoch=run.epoch - 1))
    assert target.resources["workers"]["workers"] == 6
    assert await states(bed, run) == [RecordState.APPLIED]


async def test_a_late_turn_cannot_settle_what_another_one_has_taken_over(bed: Bed, target: Target) -> None:
    run = await die(bed, await claimed(bed, playbook_text()), "settle", committed=False)
    with pytest.raises(Conflict):
        await take_turn(bed.engine, replace(run, epoch=run.epoch - 1))
    assert await states(bed, run) == [RecordState.INTENDED]
    assert len(target.ledger.entries) == 1


# --- without a fence ------------------------------------------------------------------------------------------------


class Unfenced(HttpRequest):
    """Change something of which a repeated send would not be refused."""

    name: ClassVar[str] = "test.unfenced"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "none"


@pytest.fixture
def unfenced(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a playbook whose step has no fence."""
    know(bed, monkeypatch, Unfenced)
    return playbook_text().replace("http.request:", "accept: unfenced\n    test.unfenced:")


def know(bed: Bed, monkeypatch: pytest.MonkeyPatch, action: type[Action]) -> None:
    """Let playbooks name one more action."""
    known = catalogue()
    more = Catalogue({**known.actions, action.name: action}, known.probes)
    monkeypatch.setattr(tests.act_bed, "catalogue", lambda: more)

    def action_of(record: Record) -> Action:
        return more.actions[record.action].model_validate(record.arguments)

    bed.engine = replace(bed.engine, action_of=action_of)


class Frozen(HttpRequest):
    """Change something after a sleep: what happens in it is ``meanwhile``."""

    name: ClassVar[str] = "test.frozen"
    meanwhile: ClassVar[Callable[[], Awaitable[None]]]

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Sleep between the permission and the send."""
        await type(self).meanwhile()
        return await super().apply(target, record, tools)


@pytest.mark.promise(4)
async def test_a_turn_that_wakes_up_when_another_process_has_the_run_sends_nothing(
    bed: Bed, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(bed, monkeypatch, Frozen)
    clock = Jumping(bed.store)
    bed.engine = replace(bed.engine, clock=clock)

    async def taken_over() -> None:
        clock.ahead += 120
        bed.store.db.clock.anchor(bed.store.now() + timedelta(minutes=2))  # type: ignore[attr-defined] # every store has one
        assert len(await bed.store.claim_runs(1)) == 1

    monkeypatch.setattr(Frozen, "meanwhile", staticmethod(taken_over), raising=False)
    run = await claimed(bed, playbook_text().replace("http.request:", "test.frozen:"))
    with pytest.raises(Conflict):
        await take_turn(bed.engine, run)
    assert target.ledger.entries == [], "the target looks as it did, and would have taken it"
    assert await states(bed, run) == [RecordState.INTENDED]


@pytest.mark.promise(4)
async def test_without_a_fence_nothing_is_sent_a_second_time(bed: Bed, target: Target, unfenced: str) -> None:
    target.fault("reset")
    run = await bed.work(await bed.begin(unfenced))
    assert (run.state, run.verdict) == (RunState.UNKNOWN, Verdict.UNCERTAIN)
    assert len(target.ledger.entries) == 1
    assert await states(bed, run) == [RecordState.UNCERTAIN]
    assert await asks_a_person(bed, run)
    assert "no answer to PUT" in run.reason, "whoever is asked reads what went wrong"


async def test_without_a_fence_what_landed_is_still_recognised(bed: Bed, target: Target, unfenced: str) -> None:
    target.fault("lost_reply")
    run = await bed.work(await bed.begin(unfenced))
    assert run.state is RunState.VERIFIED, run.reason
    assert len(target.ledger.entries) == 1


async def test_without_a_fence_an_undo_in_doubt_is_not_sent_again(bed: Bed, target: Target, unfenced: str) -> None:
    run = await bed.begin(unfenced.replace("equals: 6", "equals: 99"))
    run = await bed.work(run, until=frozenset({RunState.VERIFYING}))
    target.fault("reset")
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.UNKNOWN, Verdict.UNDO_UNCERTAIN)
    assert len(target.ledger.entries) == 2
    (found,) = (await bed.store.page("records", {"run": run.id}, 5, "")).items
    for text in (run.reason, str(found["message"])):
        assert "no answer to PUT" in text, "whoever is asked reads what went wrong"
        assert text.count("Nobody can tell whether the undo landed") == 1


# --- a target that asks to be left alone ----------------------------------------------------------------------------

PATIENT = playbook_text().replace("  - id: add\n", "  - id: add\n    retries: 2\n")


async def test_a_step_is_not_tried_again_before_the_target_wants_it(bed: Bed, target: Target) -> None:
    run = await claimed(bed, PATIENT)
    target.fault("429", retry_after=60)
    before = bed.store.now()
    run = await current(bed, await take_turn(bed.engine, run))
    assert run.state is RunState.ACTING
    assert run.due_at >= before + timedelta(seconds=60)
    assert "429" in run.reason
    assert target.resources["workers"]["workers"] == 4


@pytest.mark.parametrize("seconds", [301, 3000])
async def test_a_step_fails_when_the_target_asks_for_longer_than_the_run_can_wait(
    bed: Bed, target: Target, seconds: int
) -> None:
    run = await claimed(bed, PATIENT)
    target.fault("429", retry_after=seconds)
    run = await current(bed, await take_turn(bed.engine, run))
    assert (run.state, run.verdict) == (RunState.FAILED, Verdict.STEP_FAILED)
    assert "(Retry-After), longer than the run can wait." in run.reason
    assert run.progress.left_alone_until is not None
    assert run.finished_at is not None
    assert abs(run.progress.left_alone_until - run.finished_at - timedelta(seconds=seconds)) < timedelta(seconds=5)


async def test_a_step_without_retries_says_what_the_target_asks_for(bed: Bed, target: Target) -> None:
    run = await claimed(bed, playbook_text().replace("  - id: add\n", "  - id: add\n    retries: 0\n"))
    target.fault("429", retry_after=60)
    run = await current(bed, await take_turn(bed.engine, run))
    assert run.state is RunState.FAILED
    assert run.reason.endswith("It asks to be left alone for 1m (Retry-After).")
    assert run.progress.left_alone_until is not None


async def test_a_plan_waits_as_long_as_the_target_asks_for(bed: Bed, target: Target) -> None:
    run = await claimed(bed, PATIENT)
    target.fault("429", on="read", retry_after=600)
    run = await current(bed, await take_turn(bed.engine, run))
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.TEMPORARY)
    assert run.reason.endswith("It asks to be left alone for 10m (Retry-After).")
    assert run.progress.left_alone_until is not None
    assert run.progress.left_alone_until > bed.store.now() + timedelta(seconds=590)


async def test_a_step_does_not_wait_beyond_its_deadline(bed: Bed, target: Target) -> None:
    run = await claimed(bed, PATIENT)
    target.fault("429", retry_after=120)
    run = await take_turn(bed.engine, replace(run, deadline=bed.store.now() + timedelta(seconds=100)))
    assert (run.state, run.verdict) == (RunState.FAILED, Verdict.STEP_FAILED)
    assert "Retry-After" in run.reason


@pytest.mark.parametrize(("seconds", "state"), [(60, RunState.UNDOING), (301, RunState.FAILED)])
async def test_an_undo_waits_as_long_as_the_target_asks_for(
    bed: Bed, target: Target, seconds: int, state: RunState
) -> None:
    run = await undoing(bed)
    target.fault("429", retry_after=seconds)
    before = bed.store.now()
    run = await current(bed, await take_turn(bed.engine, run))
    assert run.state is state, run.reason
    if state is RunState.UNDOING:
        assert run.due_at >= before + timedelta(seconds=seconds)
    else:
        assert "Retry-After" in await needs_person(bed, run)
