"""Slots, limits and rollback records: what authorises an effect."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from responder.domain.episodes import EpisodeState
from responder.domain.errors import Conflict
from responder.domain.limits import Limits, Pause, Rate, Refusal
from responder.domain.records import RecordState
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.ports.store import Authority, RunEnd
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
    finished,
    limits,
    record,
    started,
    verdict,
    write,
)


@pytest.mark.parametrize(
    ("held", "wanted", "busy"),
    [
        ("eu/deployment/shop/api", "eu/deployment/shop/api", True),
        ("eu/deployment/shop/api", "eu/deployment/shop", True),
        ("eu/deployment/shop", "eu/deployment/shop/api", True),
        ("eu/deployment/shop/api", "eu/deployment/shop/api2", False),
        ("eu/deployment/shop/api", "eu/deployment/shop/ap", False),
        ("eu/deployment/shop/api", "us/deployment/shop/api", False),
    ],
)
async def test_targets_conflict_by_path(store: SqlStore, held: str, wanted: str, busy: bool) -> None:  # noqa: FBT001 - a column of the table
    first = await acting(store, target=held)
    refusal = await store.take_slot(await started(store, target=wanted))
    assert verdict(refusal) == ("busy" if busy else "")
    if refusal is not None:
        assert first.id in refusal.reason


@pytest.mark.promise(8)
async def test_of_many_that_want_a_target_one_gets_it(store: SqlStore, replica: SqlStore) -> None:
    names = ("a", "a/b", "a/c", "a", "a/b/c", "a", "a/b", "a/c")
    runs = [
        await started(store, target=f"eu/deployment/{name}", playbook=f"p{place}") for place, name in enumerate(names)
    ]

    answers = await asyncio.gather(*((store, replica)[n % 2].take_slot(one) for n, one in enumerate(runs)))

    slots = [one.target for one, answer in zip(runs, answers, strict=True) if answer is None]
    assert len(slots) == 1 or set(slots) <= {"eu/deployment/a/b", "eu/deployment/a/c", "eu/deployment/a/b/c"}
    assert not any(one != other and other.startswith(one + "/") for one in slots for other in slots)
    assert len(set(slots)) == len(slots)


async def test_a_slot_can_be_taken_again_by_its_run(store: SqlStore) -> None:
    one = await acting(store)
    assert await store.take_slot(one) is None


async def test_later_changes_are_those_of_other_runs_on_the_same_target_that_may_stand(store: SqlStore) -> None:
    before = await acting(store)
    await applied(store, before)
    await finished(store, before)
    one = await acting(store, target=before.target, playbook="p1")
    lower = await applied(store, one)
    await applied(store, one)
    await finished(store, one)
    elsewhere = await acting(store, target=before.target + "2", playbook="p2")
    await applied(store, elsewhere)
    undone = await acting(store, target=before.target, playbook="p3")
    gone = await applied(store, undone)
    await store.settle(undone, replace(gone, state=RecordState.UNDONE))
    await finished(store, undone, RunState.ROLLED_BACK)
    ended = await acting(store, target=before.target, playbook="p4")
    upper = await applied(store, ended)
    await finished(store, ended)
    under_way = await acting(store, target=before.target, playbook="p5")
    top = await applied(store, under_way)

    assert [found.id for found in await store.later_changes(one, lower)] == [upper.id, top.id]
    assert await store.later_changes(under_way, top) == []


async def test_of_changes_at_the_same_moment_the_one_that_was_made_later_is_later(store: SqlStore) -> None:
    one = await acting(store)
    lower = await applied(store, one)
    await finished(store, one)
    other = await acting(store, target=one.target, playbook="p1")
    upper = await applied(store, other, created_at=lower.created_at)
    assert [found.id for found in await store.later_changes(one, lower)] == [upper.id]
    assert await store.later_changes(other, upper) == []


async def test_quarantine_stops_what_goes_forward_until_it_is_cleared(store: SqlStore) -> None:
    one = await acting(store)
    await applied(store, one)
    await finished(store, one, RunState.UNKNOWN, quarantine="nobody knows")
    refusal = await store.take_slot(await started(store, target=one.target + "/x"))
    assert refusal is not None
    assert (verdict(refusal), "nobody knows" in refusal.reason) == ("quarantined", True)

    back = await store.roll_back(one.id, "ann", "undo")
    assert isinstance(back, Run)
    back = await claimed(store, back.id)
    assert await store.take_slot(back) is None, "a person may put it right"
    await finished(store, back, RunState.ROLLED_BACK)

    assert await store.clear_quarantine(one.target, "ann")
    assert not await store.clear_quarantine(one.target, "ann")
    assert await store.take_slot(await started(store, target=one.target)) is None


@pytest.mark.promise(5)
async def test_an_effect_is_recorded_before_it_is_made(store: SqlStore) -> None:
    one = await acting(store)
    made = record(store, one, before=None, fence='"etag"', arguments={"a": [1, None, "x\x00"]})
    assert await store.intend(one, made, FREE) is None

    (kept,) = (await store.standing(one, WINDOW)).records
    assert kept == replace(made, arguments={"a": [1, None, "x\ufffd"]})

    await store.settle(one, replace(made, state=RecordState.APPLIED, observed={"workers": 6}, evidence="value"))
    (kept,) = (await store.standing(one, WINDOW)).records
    assert (kept.state, kept.observed, kept.evidence) == (RecordState.APPLIED, {"workers": 6}, "value")
    assert kept.settled_at is not None
    assert await actions_of(store, made.id) == ["record.intended", "record.applied"]


async def test_a_record_found_intended_may_be_authorised_again_but_not_a_settled_one(store: SqlStore) -> None:
    one = await acting(store)
    made = record(store, one)
    assert await store.intend(one, made, limits(1)) is None
    assert await store.intend(one, made, limits(1)) is None, "the same record costs nothing more"
    await store.settle(one, replace(made, state=RecordState.APPLIED))
    with pytest.raises(Conflict):
        await store.intend(one, made, limits(9))


async def test_the_first_record_takes_the_target_with_it(store: SqlStore) -> None:
    one = replace(await started(store), state=RunState.ACTING)
    assert await store.intend(one, record(store, one), FREE) is None
    other = await started(store, target=one.target + "/x")
    refusal = await store.take_slot(other)
    assert refusal is not None
    assert (verdict(refusal), one.id in refusal.reason) == ("busy", True)
    assert await actions_of(store, one.id) == ["run.acting", "slot.taken"]
    (kept,) = [row for row in (await by_id(store, "runs")).values() if row["id"] == one.id]
    assert (kept["state"], kept["started_at"] is not None) == ("acting", True)


async def test_nothing_goes_forward_where_another_run_holds_the_target(store: SqlStore) -> None:
    first = await acting(store)
    one = replace(await started(store, target=first.target), state=RunState.ACTING)
    assert verdict(await store.intend(one, record(store, one), FREE)) == "busy"
    assert await by_id(store, "records") == {}
    assert (await by_id(store, "runs"))[one.id]["state"] == "ready", "what was refused has not begun"


async def test_of_many_that_begin_at_once_as_many_act_as_may(store: SqlStore, replica: SqlStore) -> None:
    runs = [
        replace(await started(store, target=f"http/checkout/{place}", playbook="p"), state=RunState.ACTING)
        for place in range(8)
    ]
    one_at_a_time = Authority(Limits(concurrent=2), effects=1)
    answers = await asyncio.gather(
        *((store, replica)[place % 2].intend(one, record(store, one), one_at_a_time) for place, one in enumerate(runs))
    )
    assert sorted(map(verdict, answers)) == ["", "", *["concurrent"] * 6]


async def test_of_many_that_begin_on_one_target_at_once_one_acts(store: SqlStore, replica: SqlStore) -> None:
    runs = [replace(await started(store, target="http/checkout/a"), state=RunState.ACTING) for _ in range(8)]
    answers = await asyncio.gather(
        *((store, replica)[place % 2].intend(one, record(store, one), FREE) for place, one in enumerate(runs))
    )
    assert sorted(map(verdict, answers)) == ["", *["busy"] * 7]


@pytest.mark.promise(12)
async def test_nothing_goes_forward_for_a_resolved_or_unconfirmed_alert(store: SqlStore) -> None:
    one = await acting(store)
    fresh = Authority(Limits(max_age=timedelta(minutes=30)), effects=1)
    advance(store, timedelta(minutes=31))
    assert verdict(await store.intend(one, record(store, one), fresh)) == "stale"

    account = await store.account(one.incident_id)
    assert account is not None
    (firing,) = account.episodes
    await write(store, episodes=[replace(firing, state=EpisodeState.CLOSED, closed_at=store.now())])
    assert verdict(await store.intend(one, record(store, one), fresh)) == "resolved"
    await write(store, episodes=[replace(firing, state=EpisodeState.LATE)])
    assert verdict(await store.intend(one, record(store, one), fresh)) == "resolved"


async def test_nothing_goes_forward_against_a_stop_a_pause_or_protection(store: SqlStore) -> None:
    one = await acting(store, target="http/checkout")
    protected = replace(FREE, protected=True)
    assert verdict(await store.intend(one, record(store, one), protected)) == "protected"
    now = store.now()
    await store.pause(Pause("p1", "pause", "playbook:other", "", "ann", now))
    await store.pause(Pause("p2", "pause", "target:http/*", "deploy", "ann", now, until=now + HOUR))
    assert verdict(await store.intend(one, record(store, one), FREE)) == "paused"
    await store.pause(Pause("h", "halt", "all", "fire", "ann", now))
    assert verdict(await store.intend(one, record(store, one), FREE)) == "halted"
    assert await store.resume("h", "ann") == 1
    advance(store, HOUR - timedelta(minutes=45))
    assert verdict(await store.intend(one, record(store, one), FREE)) == "paused"
    assert await store.resume("all", "ann") == 2
    await store.stop(one.id, "ann")
    assert verdict(await store.intend(one, record(store, one), FREE)) == "stopped"
    assert await by_id(store, "records") == {}


async def test_an_undo_is_refused_by_a_halt_alone(store: SqlStore) -> None:
    one = await acting(store)
    made = await applied(store, one)
    intended = replace(made, state=RecordState.UNDO_INTENDED)
    now = store.now()
    await store.pause(Pause("h", "halt", "all", "fire", "ann", now))
    assert verdict(await store.intend_undo(one, intended)) == "halted"
    await store.resume("all", "ann")
    await store.pause(Pause("p", "pause", "all", "", "ann", now))
    await store.stop(one.id, "ann")
    assert await store.intend_undo(one, intended) is None
    await store.settle(one, replace(intended, state=RecordState.UNDONE))
    (kept,) = (await store.standing(one, WINDOW)).records
    assert kept.state is RecordState.UNDONE
    assert kept.undone_at is not None


@pytest.mark.promise(8)
async def test_twenty_runs_at_once_never_exceed_a_limit(store: SqlStore, replica: SqlStore) -> None:
    authority = Authority(Limits(per_playbook=Rate(7, HOUR)), effects=1)
    runs = [await acting(store, target=f"http/{number}") for number in range(20)]

    answers = await asyncio.gather(
        *((store, replica)[n % 2].intend(one, record(store, one), authority) for n, one in enumerate(runs))
    )

    assert [verdict(answer) for answer in answers].count("") == 7
    assert {verdict(answer) for answer in answers} == {"", "rate_playbook"}
    assert len(await by_id(store, "records")) == 7


async def test_of_runs_that_hold_slots_as_many_go_on_as_may_run_at_once(store: SqlStore, replica: SqlStore) -> None:
    authority = Authority(Limits(concurrent=3), effects=1)
    runs = [await started(store, target=f"http/{number}") for number in range(10)]
    slots = await asyncio.gather(*((store, replica)[n % 2].take_slot(one) for n, one in enumerate(runs)))
    assert slots == [None] * 10

    answers = await asyncio.gather(
        *((store, replica)[n % 2].intend(one, record(store, one), authority) for n, one in enumerate(runs))
    )

    assert [verdict(answer) for answer in answers].count("") == 3
    (running,) = {verdict(answer) for answer in answers} - {""}
    assert running == "concurrent"


async def test_the_first_record_reserves_the_whole_plan_and_the_end_returns_the_rest(store: SqlStore) -> None:
    plan = limits(3, effects=3)
    one = await acting(store)
    await applied(store, one, plan)
    await applied(store, one, plan)
    await finished(store, one)

    other = await acting(store, target=one.target)
    refusal = await store.intend(other, record(store, other), limits(3, effects=2))
    assert refusal is not None
    assert verdict(refusal) == "rate_target"
    assert refusal.retry_at is not None
    assert await store.intend(other, record(store, other), limits(3, effects=1)) is None
    await finished(store, other)

    advance(store, HOUR)
    third = await acting(store, target=one.target)
    assert await store.intend(third, record(store, third), limits(3, effects=3)) is None


async def test_more_effects_than_were_planned_must_find_room_themselves(store: SqlStore) -> None:
    one = await acting(store)
    await applied(store, one, limits(2))
    await applied(store, one, limits(2))
    assert verdict(await store.intend(one, record(store, one), limits(2))) == "rate_target"


async def test_what_certainly_did_not_happen_does_not_count(store: SqlStore) -> None:
    one = await acting(store)
    refused = record(store, one)
    assert await store.intend(one, refused, limits(1)) is None
    await store.settle(one, replace(refused, state=RecordState.NOT_APPLIED, message="409"))
    assert await store.intend(one, record(store, one), limits(1)) is None, "the plan keeps its place"
    await finished(store, one)
    other = await acting(store, target=one.target)
    assert verdict(await store.intend(other, record(store, other), limits(1))) == "rate_target"


async def test_a_run_that_changed_nothing_uses_up_nothing(store: SqlStore) -> None:
    one = await acting(store)
    refused = record(store, one)
    strict = limits(1, cooldown=HOUR, attempts=1)
    assert await store.intend(one, refused, strict) is None
    await store.settle(one, replace(refused, state=RecordState.NOT_APPLIED))
    await finished(store, one, RunState.FAILED)
    other = await acting(store, target=one.target)
    assert await store.intend(other, record(store, other), strict) is None


async def test_cooldown_and_attempts_count_what_ended_on_the_target(store: SqlStore) -> None:
    one = await acting(store)
    await applied(store, one)
    await finished(store, one, RunState.ROLLED_BACK)
    other = await acting(store, target=one.target)
    cooling = Authority(Limits(cooldown=timedelta(minutes=10)), effects=1)
    tried = Authority(Limits(attempts=1), effects=1)
    assert verdict(await store.intend(other, record(store, other), cooling)) == "cooldown"
    assert verdict(await store.intend(other, record(store, other), tried)) == "attempts_exhausted"
    advance(store, timedelta(minutes=10))
    assert await store.intend(other, record(store, other), cooling) is None


async def test_recurrence_counts_what_helped_on_the_target_by_the_same_playbook(store: SqlStore) -> None:
    window = timedelta(minutes=20)
    twice = Authority(Limits(recurrence=Rate(2, window)), effects=1)
    ends = [("restart", RunState.VERIFIED), ("restart", RunState.ROLLED_BACK), ("other", RunState.VERIFIED)]
    for playbook, state in ends:
        one = await acting(store, playbook=playbook)
        await applied(store, one)
        await finished(store, one, state)
    two = await acting(store)
    await applied(store, two, twice)
    await finished(store, two)
    three = await acting(store)
    assert verdict(await store.intend(three, record(store, three), twice)) == "recurring"
    assert (await store.standing(three, twice.limits)).usage.helped[-1:] != ()
    advance(store, window)
    assert await store.intend(three, record(store, three), twice) is None


async def _done(store: SqlStore) -> tuple[Run, str]:
    one = await acting(store, tell=["console:"])
    made = await applied(store, one)
    return await finished(store, one), made.id


async def test_what_a_person_stopped_or_wants_taken_back_is_declined_and_nothing_else(store: SqlStore) -> None:
    left, _ = await _done(store)
    taken_back, _ = await _done(store)
    assert isinstance(await store.roll_back(taken_back.id, "ann", "wrong"), Run)
    ends = {}
    for verdict_ in (Verdict.REJECTED, Verdict.APPROVAL_EXPIRED, Verdict.VERIFY_FAILED):
        one = await acting(store)
        await applied(store, one)
        await finished(store, replace(one, verdict=verdict_), RunState.ROLLED_BACK)
        ends[verdict_] = one.id
    stopped = await acting(store, target="http/other")
    assert await store.stop(stopped.id, "ann")
    stays = await acting(store, target="http/kept")
    await store.keep(replace(stays, state=RunState.KEPT, due_at=store.now() + HOUR), RunEnd())
    assert await store.stop(stays.id, "ann"), "that it is given back: it helped"
    async with store.slice() as slice_:
        near = await slice_.runs_near([left.target, stopped.target, stays.target], [], store.now() - HOUR)
    assert {fact.id for fact in near if fact.declined} == {
        taken_back.id, stopped.id, ends[Verdict.REJECTED], ends[Verdict.APPROVAL_EXPIRED],
    }  # fmt: skip
    assert {left.id, stays.id, ends[Verdict.VERIFY_FAILED]} <= {fact.id for fact in near}


async def test_a_rollback_works_on_the_records_of_the_run_it_undoes(store: SqlStore) -> None:
    one, made = await _done(store)
    back = await store.roll_back(one.id, "ann", "wrong")
    assert isinstance(back, Run)
    assert (back.kind, back.of_run, back.state, back.target) == ("rollback", one.id, RunState.READY, one.target)
    assert (back.context.requested_by, back.context.reason) == ("ann", "wrong")

    back = await claimed(store, back.id)
    assert await store.take_slot(replace(back, state=RunState.UNDOING)) is None
    (undone,) = (await store.standing(back, WINDOW)).records
    assert await store.intend_undo(back, replace(undone, state=RecordState.UNDO_INTENDED)) is None
    await store.settle(back, replace(undone, state=RecordState.UNDONE))
    await finished(store, back, RunState.ROLLED_BACK)

    assert (await by_id(store, "records"))[made]["state"] == "undone"
    assert await actions_of(store, one.id) == [
        "run.acting", "slot.taken", "run.verified", "run.rollback_asked"
    ]  # fmt: skip


async def test_a_rollback_is_refused_where_there_is_nothing_to_undo(store: SqlStore) -> None:
    async def refused(run_id: str) -> str:
        answer = await store.roll_back(run_id, "ann", "")
        assert isinstance(answer, Refusal)
        return answer.verdict.value

    assert await refused("none") == "not_undoable"
    going = await acting(store, target="http/going")
    assert await refused(going.id) == "busy"
    await finished(store, going)
    assert await refused(going.id) == "not_undoable"

    one, _ = await _done(store)
    answers = await asyncio.gather(*(store.roll_back(one.id, "ann", "") for _ in range(4)))
    (back,) = [answer for answer in answers if isinstance(answer, Run)]
    assert {answer.verdict.value for answer in answers if isinstance(answer, Refusal)} == {"busy"}
    assert await refused(back.id) == "not_undoable"
