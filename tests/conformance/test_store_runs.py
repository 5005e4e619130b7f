"""The runs' queue and how runs end."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from responder.domain.alerts import Severity
from responder.domain.episodes import Episode, EpisodeState
from responder.domain.errors import Conflict
from responder.domain.ids import new_id
from responder.domain.limits import Pause
from responder.domain.notification import Approval
from responder.domain.runs import Check, Progress, Run, RunState
from responder.domain.verdicts import Verdict
from responder.ports.store import LEASE, MAX_ATTEMPTS, Audit, RunEnd
from responder.stores.core.store import SqlStore
from tests.conformance.building import (
    FREE,
    HOUR,
    WINDOW,
    acting,
    actions_of,
    advance,
    applied,
    by_id,
    claimed,
    episode,
    finished,
    incident,
    limits,
    record,
    run,
    started,
    verdict,
    write,
)


async def test_a_run_is_kept_as_it_is(store: SqlStore) -> None:
    made = run(
        store, progress=Progress(checks=(Check(name="errors", passing_since=store.now()),)), deadline=store.now()
    )
    await write(store, runs=[(made, frozenset())])
    one = await claimed(store, made.id)
    assert one == replace(made, attempts=1, epoch=1)
    assert await store.run(made.id) == one
    assert await store.run("none") is None


async def test_the_most_severe_go_first_until_others_have_waited_long_enough(store: SqlStore) -> None:
    now = store.now()
    wanted = [
        run(store, severity=Severity.LOW, due_at=now - timedelta(seconds=100)),
        run(store, severity=Severity.CRITICAL, due_at=now),
        run(store, severity=Severity.HIGH, due_at=now),
        run(store, severity=Severity.LOW, due_at=now - timedelta(seconds=15)),
        run(store, severity=Severity.MEDIUM, due_at=now),
        run(store, severity=Severity.LOW, due_at=now),
    ]
    await write(store, runs=[(one, frozenset()) for one in reversed(wanted)])

    got = [one.id for _ in range(3) for one in await store.claim_runs(2)]

    assert got == [one.id for one in wanted]


async def test_two_replicas_never_claim_the_same_run(store: SqlStore, replica: SqlStore) -> None:
    await write(store, runs=[(run(store), frozenset()) for _ in range(40)])
    claims = await asyncio.gather(*((store, replica)[number % 2].claim_runs(5) for number in range(12)))
    taken = [one.id for claim in claims for one in claim]
    assert len(taken) == len(set(taken)) == 40


async def test_a_waiting_run_is_not_claimed_before_its_time(store: SqlStore) -> None:
    one = await started(store, severity=Severity.CRITICAL)
    await store.save(replace(one, due_at=store.now() + timedelta(minutes=1)))
    advance(store, timedelta(seconds=59))
    assert await store.claim_runs(10) == []
    advance(store, timedelta(seconds=1))
    assert (await claimed(store, one.id)).attempts == 1, "a turn that was saved made progress"


async def test_whoever_lost_the_lease_writes_nothing(store: SqlStore) -> None:
    stale = await started(store)
    advance(store, LEASE)
    fresh = await claimed(store, stale.id)
    assert (fresh.attempts, fresh.epoch) == (2, 2)
    about = record(store, stale)
    approval = Approval("a", stale.id, "h", [], "pending", store.now(), store.now() + HOUR)
    for attempt in (
        store.save(replace(stale, state=RunState.ACTING)),
        store.take_slot(stale),
        store.intend(stale, about, FREE),
        store.intend_undo(stale, about),
        store.settle(stale, about),
        store.finish(replace(stale, state=RunState.FAILED), RunEnd()),
        store.use_approval(stale, approval),
    ):
        with pytest.raises(Conflict):
            await attempt
    kept = await store.run(stale.id)
    assert kept is not None
    assert kept.state is RunState.READY
    await store.save(fresh)


async def test_what_happens_during_a_turn_makes_the_run_due_when_the_turn_ends(store: SqlStore) -> None:
    one = await started(store)
    assert await store.stop(one.id, "ann")
    assert await store.claim_runs(10) == [], "its turn is under way"

    await store.save(replace(one, due_at=store.now() + HOUR))

    again = await claimed(store, one.id)
    assert again.stop_by == "ann", "the turn that did not know of it does not wipe it out"
    await store.save(replace(again, due_at=store.now() + HOUR))
    assert await store.claim_runs(10) == []


async def test_a_run_that_is_over_cannot_be_stopped(store: SqlStore) -> None:
    one = await finished(store, await started(store), RunState.SKIPPED)
    assert not await store.stop(one.id, "ann")
    assert not await store.stop("none", "ann")


async def test_standing_tells_how_the_world_of_a_run_stands(store: SqlStore) -> None:
    one = await acting(store)
    made = await applied(store, one)
    pause = Pause("p", "pause", "all", "deploy", "ann", store.now())
    await store.pause(pause)

    standing = await store.standing(one, WINDOW)

    assert standing.firing
    assert standing.evidence_at is not None
    assert list(standing.pauses) == [pause]
    assert [kept.id for kept in standing.records] == [made.id]
    assert (standing.busy, standing.quarantined, standing.approval) == ("", "", None)
    assert standing.usage.on_target == (), "its own effects are not held against it"

    rival = await started(store, target=one.target + "/below")
    assert (await store.standing(rival, WINDOW)).busy == one.id
    assert len((await store.standing(rival, WINDOW)).usage.by_playbook) == 1


async def test_a_run_fires_while_any_joined_episode_does(store: SqlStore) -> None:
    one = await started(store)
    second = episode(store, incident_id=one.incident_id)
    await write(store, episodes=[second], joins=[(one.id, second.id)])
    (first,) = [e for e in (await _account_episodes(store, one)) if e.id != second.id]
    closing = store.now()

    await write(store, episodes=[replace(first, state=EpisodeState.CLOSED, closed_at=closing)])
    assert (await store.standing(one, WINDOW)).firing
    await write(store, episodes=[replace(second, state=EpisodeState.LATE)])
    standing = await store.standing(one, WINDOW)
    assert (standing.firing, standing.last_closed_at) == (False, closing)


async def _account_episodes(store: SqlStore, one: Run) -> list[Episode]:
    account = await store.account(one.incident_id)
    assert account is not None
    return list(account.episodes)


async def test_the_end_frees_the_slot_and_closes_an_incident_that_nothing_keeps_open(store: SqlStore) -> None:
    one = await acting(store)
    (firing,) = (await by_id(store, "episodes")).values()
    assert (await by_id(store, "incidents"))[one.incident_id]["status"] == "open"

    retry = store.now() + timedelta(seconds=7)
    await store.finish(
        replace(one, state=RunState.FAILED, verdict=Verdict.VERIFY_FAILED, reason="no better"),
        RunEnd(retry_at=retry, after=one.playbook),
        [Audit("verdict", one.id)],
    )

    kept = await store.run(one.id)
    assert kept is not None
    assert (kept.state, kept.verdict, kept.reason) == (RunState.FAILED, Verdict.VERIFY_FAILED, "no better")
    assert kept.finished_at is not None
    assert kept.started_at is not None
    assert (await by_id(store, "incidents"))[one.incident_id]["status"] == "open", "its episode still fires"
    advance(store, timedelta(seconds=7))
    async with store.slice() as slice_:
        (due,) = await slice_.due_episodes(10)
    assert (due.id, due.after, due.reconsider_at) == (firing["id"], one.playbook, retry)
    assert await actions_of(store, one.id) == ["run.acting", "slot.taken", "run.failed", "verdict"]
    assert verdict(await store.take_slot(await started(store, target=one.target))) == ""
    with pytest.raises(Conflict):
        await store.finish(replace(one, state=RunState.VERIFIED), RunEnd())


async def test_an_incident_closes_with_its_last_run(store: SqlStore) -> None:
    one = await acting(store)
    await _close_episodes(store, one)
    await finished(store, one)
    kept = (await by_id(store, "incidents"))[one.incident_id]
    assert kept["status"] == "resolved"
    assert kept["resolved_at"] is not None


async def test_a_run_that_goes_on_keeps_the_incident_open(store: SqlStore) -> None:
    one = await acting(store)
    second = run(store, incident_id=one.incident_id, target="http/other")
    await write(store, runs=[(second, frozenset())])
    await _close_episodes(store, one)
    await finished(store, one)
    assert (await by_id(store, "incidents"))[one.incident_id]["status"] == "open"
    await finished(store, await claimed(store, second.id), RunState.SKIPPED)
    assert (await by_id(store, "incidents"))[one.incident_id]["status"] == "resolved"


async def test_an_alert_that_is_only_late_does_not_keep_the_incident_open(store: SqlStore) -> None:
    one = await acting(store)
    await applied(store, one)
    account = await store.account(one.incident_id)
    assert account is not None
    late = [replace(e, state=EpisodeState.LATE, closed_at=store.now()) for e in account.episodes]
    await write(store, episodes=late)
    await finished(store, one)
    assert (await by_id(store, "incidents"))[one.incident_id]["status"] == "resolved"


async def test_what_is_kept_for_a_time_holds_nothing_and_goes_on_when_it_is_due(store: SqlStore) -> None:
    one = await acting(store)
    await applied(store, one, limits(3, effects=3))
    await _close_episodes(store, one)
    later = store.now() + HOUR
    await store.keep(replace(one, state=RunState.KEPT, due_at=later), RunEnd())
    about = (await by_id(store, "incidents"))[one.incident_id]
    assert about["status"] == "resolved"
    kept = await store.run(one.id)
    assert kept is not None
    assert (kept.state, kept.finished_at, kept.due_at) == (RunState.KEPT, None, later)
    assert kept.kept_at is not None
    other = await acting(store)  # its target is free
    usage = (await store.standing(other, limits(3, cooldown=HOUR).limits)).usage
    assert len(usage.on_target) == 1, "what was reserved beside the one effect is given back"
    assert (usage.last_end, usage.helped) == (kept.kept_at, (kept.kept_at,))
    advance(store, HOUR)
    assert (await claimed(store, one.id)).state is RunState.KEPT


async def test_a_kept_run_is_looked_at_when_a_person_has_taken_it_back(store: SqlStore) -> None:
    one = await acting(store)
    await applied(store, one)
    await store.keep(replace(one, state=RunState.KEPT, due_at=store.now() + HOUR), RunEnd())
    back = await store.roll_back(one.id, "ana", "")
    assert isinstance(back, Run)
    [undoing] = await store.claim_runs(10)
    assert undoing.id == back.id
    await finished(store, undoing, RunState.ROLLED_BACK)
    assert (await claimed(store, one.id)).state is RunState.KEPT


async def test_a_person_that_is_needed_keeps_the_incident_open(store: SqlStore) -> None:
    one = await acting(store, tell=["console:"])
    await applied(store, one)
    await _close_episodes(store, one)
    await finished(store, one, RunState.FAILED, needs_person="look at it")
    assert (await by_id(store, "incidents"))[one.incident_id]["needs_person"] == "look at it"
    assert await store.untold() == 1

    assert await store.acknowledge(one.incident_id, "ann")

    listed = (await by_id(store, "incidents"))[one.incident_id]
    assert (listed["status"], listed["acknowledged_by"]) == ("resolved", "ann")
    assert listed["acknowledged_at"]
    account = await store.account(one.incident_id)
    assert account is not None
    assert account.acknowledged is not None
    assert account.acknowledged.by == "ann"
    assert not await store.acknowledge(one.incident_id, "ann")
    assert await store.untold() == 0


async def _kept_behind_a_closed_incident(store: SqlStore) -> Run:
    one = await acting(store, tell=["console:"])
    await applied(store, one)
    await _close_episodes(store, one)
    await store.keep(replace(one, state=RunState.KEPT, due_at=store.now()), RunEnd())
    assert (await by_id(store, "incidents"))[one.incident_id]["status"] == "resolved"
    return await claimed(store, one.id)


async def test_whoever_asks_for_a_person_behind_a_closed_incident_opens_it_again(store: SqlStore) -> None:
    one = await _kept_behind_a_closed_incident(store)
    await finished(store, one, needs_person="it was not given back")
    listed = (await by_id(store, "incidents"))[one.incident_id]
    assert (listed["status"], listed["needs_person"]) == ("open", "it was not given back")
    assert await store.untold() == 1
    assert "incident.reopened" in await actions_of(store, one.incident_id)
    assert await store.acknowledge(one.incident_id, "ann")
    assert (await by_id(store, "incidents"))[one.incident_id]["status"] == "resolved"


async def test_where_the_group_has_another_incident_by_then_that_one_asks(store: SqlStore) -> None:
    one = await _kept_behind_a_closed_incident(store)
    account = await store.account(one.incident_id)
    assert account is not None
    now_open = replace(account.incident, id=new_id(), resolved_at=None, closed_reason="")
    await write(store, incidents=[now_open])
    await finished(store, one, needs_person="it was not given back")
    listed = await by_id(store, "incidents")
    assert (listed[one.incident_id]["status"], listed[one.incident_id]["needs_person"]) == ("resolved", "")
    assert (listed[now_open.id]["status"], listed[now_open.id]["needs_person"]) == ("open", "it was not given back")


async def test_only_the_run_that_asked_for_a_person_can_take_it_back(store: SqlStore) -> None:
    one = await acting(store)
    await applied(store, one)
    await finished(store, one, RunState.FAILED, needs_person="look at it")
    other = run(store, incident_id=one.incident_id)
    await write(store, runs=[(other, frozenset())])
    await finished(store, await claimed(store, other.id), clear_person=True)
    assert (await by_id(store, "incidents"))[one.incident_id]["needs_person"] == "look at it"

    back = await store.roll_back(one.id, "ann", "undo it")
    assert isinstance(back, Run)
    await finished(store, await claimed(store, back.id), RunState.ROLLED_BACK, clear_person=True)
    assert (await by_id(store, "incidents"))[one.incident_id]["needs_person"] == ""


async def _called(store: SqlStore) -> Run:
    """Return a run that has called a person and goes on."""
    one = await acting(store, tell=["console:"])
    await applied(store, one)
    await store.keep(replace(one, state=RunState.VERIFYING, due_at=store.now() + HOUR), RunEnd(needs_person="A calls"))
    return one


async def _asking(store: SqlStore, about: str, target: str, state: RunState = RunState.EXPIRED) -> Run:
    """Return another run of the incident that ended, and asks for a person too."""
    one, firing = run(store, incident_id=about, target=target), episode(store, incident_id=about)
    await write(store, episodes=[firing], runs=[(one, frozenset({firing.id}))])
    one = replace(await claimed(store, one.id), state=RunState.ACTING, started_at=store.now())
    assert await store.take_slot(one) is None
    await applied(store, one)
    return await finished(store, one, state, needs_person=f"{target} is {state}")


async def _asks(store: SqlStore, about: str) -> tuple[str, str]:
    row = (await by_id(store, "incidents"))[about]
    return str(row["status"]), str(row["needs_person"])


async def _verified(store: SqlStore, one: Run) -> None:
    known = await store.run(one.id)
    assert known is not None
    await finished(store, known, clear_person=True)


@pytest.mark.promise(14)
async def test_who_asks_for_a_person_behind_another_run_asks_when_that_one_has_helped(store: SqlStore) -> None:
    one = await _called(store)
    first, second = [await _asking(store, one.incident_id, f"http/{name}") for name in ("b", "c")]
    assert await _asks(store, one.incident_id) == ("open", "A calls"), "one reason at a time"

    await _verified(store, one)
    await _close_episodes(store, one)
    assert await _asks(store, one.incident_id) == ("open", "http/b is expired")
    assert await store.untold() == 1

    for each, after in ((first, ("open", "http/c is expired")), (second, ("resolved", ""))):
        back = await store.roll_back(each.id, "ann", "undo it")
        assert isinstance(back, Run)
        await finished(store, await claimed(store, back.id), RunState.ROLLED_BACK, clear_person=True)
        assert await _asks(store, one.incident_id) == after


@pytest.mark.promise(14)
async def test_the_gravest_need_for_a_person_is_shown_and_those_that_it_came_before_are_not_forgotten(
    store: SqlStore,
) -> None:
    one = await _called(store)
    about = one.incident_id
    ends = (RunState.FAILED, RunState.EXPIRED, RunState.UNKNOWN, RunState.PARTLY_ROLLED_BACK, RunState.UNKNOWN)
    others, shown = [], []
    for number, state in enumerate(ends):
        others.append(await _asking(store, about, f"http/{number}", state))
        shown.append((await _asks(store, about))[1])
        assert await store.untold() == 1, "each of them is told"
    assert shown == ["http/0 is failed", "http/0 is failed", *["http/2 is unknown"] * 3]
    account = await store.account(about)
    assert account is not None
    assert account.incident.needs_person_run == others[2].id

    after = []
    for number in (2, 4, 3, 0, 1):
        back = await store.roll_back(others[number].id, "ann", "undo it")
        assert isinstance(back, Run)
        await finished(store, await claimed(store, back.id), RunState.ROLLED_BACK, clear_person=True)
        after.append((await _asks(store, about))[1])
    assert after == ["http/4 is unknown", "http/3 is partly_rolled_back", "http/0 is failed", "A calls", "A calls"]
    await _verified(store, one)
    assert (await _asks(store, about))[1] == ""


async def test_a_run_that_has_called_and_ends_gravely_says_how_it_ended(store: SqlStore) -> None:
    for state, says in ((RunState.PARTLY_ROLLED_BACK, "half of it stands"), (RunState.ROLLED_BACK, "A calls")):
        one = await _called(store)
        known = await store.run(one.id)
        assert known is not None
        await finished(store, known, state, needs_person="half of it stands")
        assert (await _asks(store, one.incident_id))[1] == says


async def test_a_rollback_that_undoes_everything_answers_for_those_before_it_that_did_not(store: SqlStore) -> None:
    for called in (True, False):
        one = await acting(store, target=f"http/{called}")
        await applied(store, one)
        end: dict[str, str] = {"needs_person": "look at it"} if called else {}
        await finished(store, one, RunState.FAILED if called else RunState.VERIFIED, **end)
        for state, after in ((RunState.FAILED, "look at it" if called else "not undone"), (RunState.ROLLED_BACK, "")):
            back = await store.roll_back(one.id, "ann", "undo it")
            assert isinstance(back, Run)
            fails = state is RunState.FAILED
            its = {"needs_person": "not undone"} if fails else {"clear_person": True}
            await finished(store, await claimed(store, back.id), state, **its)
            assert await _asks(store, one.incident_id) == ("open", after)


async def test_what_was_undone_while_another_run_asked_asks_for_nobody(store: SqlStore) -> None:
    one = await _called(store)
    other = await _asking(store, one.incident_id, "http/b")
    back = await store.roll_back(other.id, "ann", "undo it")
    assert isinstance(back, Run)
    await finished(store, await claimed(store, back.id), RunState.ROLLED_BACK, clear_person=True)
    assert await _asks(store, one.incident_id) == ("open", "A calls")
    await _verified(store, one)
    assert await _asks(store, one.incident_id) == ("open", "")


async def test_a_person_answers_for_all_that_asked_until_then(store: SqlStore) -> None:
    one = await _called(store)
    await _asking(store, one.incident_id, "http/b")
    assert await store.acknowledge(one.incident_id, "ann")
    assert await _asks(store, one.incident_id) == ("open", "")
    known = await store.run(one.id)
    assert known is not None
    await store.keep(replace(known, due_at=store.now() + HOUR), RunEnd(needs_person="A calls again"))
    await _verified(store, one)
    assert await _asks(store, one.incident_id) == ("open", "")


async def test_why_a_run_does_not_get_on_is_told_when_it_changes(store: SqlStore) -> None:
    one = await acting(store, tell=["console:"])
    (item,) = await store.claim_outbox(10, ())
    await store.told(item, {})
    advance(store, timedelta(seconds=2))
    await store.save(replace(one, reason="no answer to PUT", due_at=store.now()))
    (item,) = await store.claim_outbox(10, ())
    await store.told(item, {})
    advance(store, timedelta(seconds=2))
    again = await claimed(store, one.id)
    await store.save(replace(again, due_at=store.now()))
    assert await store.claim_outbox(10, ()) == [], "nothing new"


async def test_every_open_incident_whose_alert_joined_a_run_asks_for_a_person_and_is_cleared_with_it(
    store: SqlStore,
) -> None:
    one = await acting(store)
    await applied(store, one)
    other, over, third = incident(store), incident(store, resolved_at=store.now()), incident(store)
    joining = [episode(store, incident_id=about.id) for about in (other, over)]
    alone = episode(store, incident_id=third.id)
    await write(
        store,
        incidents=[other, over, third],
        episodes=[*joining, alone],
        joins=[(one.id, each.id) for each in joining],
        tell={other.id: frozenset({"console:"})},
    )
    (item,) = await store.claim_outbox(10, ())
    await store.told(item, {})
    advance(store, timedelta(seconds=2))

    await finished(store, one, RunState.UNKNOWN, needs_person="look at it.")

    listed = await by_id(store, "incidents")
    assert listed[one.incident_id]["needs_person"] == "look at it."
    assert listed[other.id]["needs_person"] == f"look at it. Run {one.id} served this alert, too."
    assert (listed[over.id]["needs_person"], listed[third.id]["needs_person"]) == ("", "")
    (again,) = await store.claim_outbox(10, ())
    assert again.incident_id == other.id, "its message is told anew"
    await store.told(again, {})

    closed = [replace(each, state=EpisodeState.CLOSED, closed_at=store.now()) for each in joining]
    await write(store, episodes=closed)
    back = await store.roll_back(one.id, "ann", "undo it")
    assert isinstance(back, Run)
    await finished(store, await claimed(store, back.id), RunState.ROLLED_BACK, clear_person=True)
    listed = await by_id(store, "incidents")
    assert (listed[one.incident_id]["needs_person"], listed[other.id]["needs_person"]) == ("", "")
    assert listed[other.id]["status"] == "resolved", "nothing is left of it"


async def _close_episodes(store: SqlStore, one: Run) -> None:
    account = await store.account(one.incident_id)
    assert account is not None
    closed = [replace(e, state=EpisodeState.CLOSED, closed_at=store.now()) for e in account.episodes]
    await write(store, episodes=closed)


async def test_a_run_that_never_gets_anywhere_is_set_aside_asking(store: SqlStore) -> None:
    one = await acting(store)
    made = record(store, one)
    assert await store.intend(one, made, FREE) is None
    for _ in range(MAX_ATTEMPTS - 1):
        advance(store, LEASE)
        assert await store.set_aside() == []
        one = await claimed(store, one.id)
    advance(store, LEASE)
    assert await store.claim_runs(10) == []

    assert await store.set_aside() == [f"run {one.id}"]

    kept = await store.run(one.id)
    assert kept is not None
    assert (kept.state, kept.verdict) == (RunState.UNKNOWN, Verdict.UNREADABLE)
    assert (await by_id(store, "records"))[made.id]["state"] == "uncertain"
    assert (await by_id(store, "incidents"))[one.incident_id]["needs_person"] != ""
    refusal = await store.take_slot(await started(store, target=one.target))
    assert verdict(refusal) == "quarantined"
    assert "run.set_aside" in await actions_of(store, one.id)
    assert await store.set_aside() == []


async def _asked(store: SqlStore, plan_hash: str = "h1") -> Run:
    one = replace(await started(store), state=RunState.AWAITING_APPROVAL, due_at=store.now() + HOUR)
    one = replace(one, progress=Progress(asked=1))
    now = store.now()
    question = Approval(new_id(), one.id, plan_hash, [{"id": "scale"}], "pending", now, now + timedelta(minutes=10))
    await store.save(one, ask=question)
    return one


async def test_an_approval_is_given_once_and_used_once(store: SqlStore) -> None:
    one = await _asked(store)
    assert await store.answer(one.id, approve=True, actor="ann", plan_hash="h1", comment="go") is None
    assert verdict(await store.answer(one.id, approve=False, actor="bob", plan_hash="h1", comment="no")) == "acted"

    one = await claimed(store, one.id)
    approval = (await store.standing(one, WINDOW)).approval
    assert approval is not None
    assert (approval.state, approval.decided_by, approval.comment) == ("approved", "ann", "go")
    spent = await asyncio.gather(*(store.use_approval(one, approval) for _ in range(5)))
    assert sorted(spent) == [False, False, False, False, True]
    said = ["run.awaiting_approval", "run.approved", "run.answer_refused", "approval.spent"]
    assert await actions_of(store, one.id) == said


async def test_an_answer_must_be_in_time_and_to_the_plan_that_was_shown(store: SqlStore) -> None:
    assert verdict(await store.answer("none", approve=True, actor="ann", plan_hash="h1", comment="")) == "acted"
    one = await _asked(store)
    assert (
        verdict(await store.answer(one.id, approve=True, actor="ann", plan_hash="other", comment="")) == "plan_changed"
    )
    advance(store, timedelta(minutes=10))
    assert (
        verdict(await store.answer(one.id, approve=True, actor="ann", plan_hash="h1", comment="")) == "approval_expired"
    )


async def test_a_no_counts_whatever_the_plan(store: SqlStore) -> None:
    one = await _asked(store, "h2")
    assert await store.answer(one.id, approve=False, actor="ann", plan_hash="", comment="not now") is None
    one = await claimed(store, one.id)
    approval = (await store.standing(one, WINDOW)).approval
    assert approval is not None
    assert (approval.state, approval.decided_by) == ("rejected", "ann")
    (entry, *_) = (await store.page("audit", {"subject": one.id}, 1, "")).items
    assert entry["details"] == {"approval": approval.id, "plan_hash": "h2", "comment": "not now"}


async def test_an_approval_does_not_outlive_its_time(store: SqlStore) -> None:
    one = await _asked(store)
    assert await store.answer(one.id, approve=True, actor="ann", plan_hash="h1", comment="") is None
    one = await claimed(store, one.id)
    approval = (await store.standing(one, WINDOW)).approval
    assert approval is not None
    advance(store, timedelta(minutes=10))
    assert not await store.use_approval(one, approval)


async def test_a_new_question_voids_the_old_answer(store: SqlStore) -> None:
    one = await _asked(store)
    assert await store.answer(one.id, approve=True, actor="ann", plan_hash="h1", comment="") is None
    one = await claimed(store, one.id)
    old = (await store.standing(one, WINDOW)).approval
    now = store.now()
    await store.save(one, ask=Approval("new", one.id, "h2", [], "pending", now, now + HOUR))
    one = await claimed(store, one.id)
    assert old is not None
    assert not await store.use_approval(one, old)
    kept = (await store.standing(one, WINDOW)).approval
    assert kept is not None
    assert kept.id == "new"


async def test_a_pinned_playbook_is_found_by_its_revision(store: SqlStore) -> None:
    await store.keep_playbook("restart", "r1", "restart.yaml", "one")
    await store.keep_playbook("restart", "r2", "restart.yaml", "two")
    assert await store.playbook_text("r1") == ("restart.yaml", "one")
    assert await store.playbook_text("r3") is None
    assert await store.last_good() == {"restart.yaml": ("r2", "two")}


async def test_an_incident_says_nothing_of_another(store: SqlStore) -> None:
    one = await acting(store)
    await applied(store, one)
    await write(store, incidents=[incident(store)])
    account = await store.account(one.incident_id)
    assert account is not None
    assert (len(account.episodes), len(account.runs), len(account.records)) == (1, 1, 1)
    assert await store.account("none") is None
