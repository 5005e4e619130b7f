"""Lists, pauses and the rest of what people ask for; and keeping house."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert

from responder.domain.episodes import Decision, Episode, EpisodeState
from responder.domain.errors import Conflict
from responder.domain.ids import new_id
from responder.domain.limits import Pause, Refusal
from responder.domain.notification import PRESS_REFUSED, PRESSED, Approval
from responder.domain.records import RecordState
from responder.domain.runs import PlannedStep, Progress, Run, RunState, Said
from responder.domain.verdicts import Verdict
from responder.ports.store import Audit, DeliveryProgress, RunEnd, Slice, SliceChanges
from responder.stores.core import migrate
from responder.stores.core.database import Order
from responder.stores.core.store import SqlStore
from responder.stores.schema import run_episodes
from tests.conformance.building import (
    HOUR,
    WINDOW,
    acting,
    actions_of,
    advance,
    applied,
    by_id,
    claimed,
    deliver,
    episode,
    finished,
    run,
    started,
    write,
)

KINDS = (
    "incidents", "episodes", "deliveries", "decisions", "runs", "records", "pauses", "approvals", "audit", "outbox",
)  # fmt: skip


async def test_lists_are_newest_first_and_survive_what_is_added_meanwhile(store: SqlStore) -> None:
    now = store.now()
    made = [run(store, id=f"r{n}", created_at=now + timedelta(microseconds=n // 2)) for n in range(7)]
    await write(store, runs=[(one, frozenset()) for one in made])

    first = await store.page("runs", {}, 3, "")
    newest = run(store, created_at=now + HOUR)
    await write(store, runs=[(newest, frozenset())])
    second = await store.page("runs", {}, 3, first.next)
    third = await store.page("runs", {}, 3, second.next)

    listed = [item["id"] for page in (first, second, third) for item in page.items]
    assert listed == ["r6", "r5", "r4", "r3", "r2", "r1", "r0"]
    assert third.next == ""


async def test_every_list_can_be_read_and_paged(store: SqlStore) -> None:
    one = await acting(store, tell=["console:", "slack:#a"])
    await applied(store, one)
    for kind in KINDS:
        page = await store.page(kind, {}, 1, "")
        if page.next:
            assert (await store.page(kind, {}, 1, page.next)).items != page.items


async def test_a_run_is_listed_with_its_steps(store: SqlStore) -> None:
    plan = tuple(
        PlannedStep(id=name, action="http.request", arguments={}, before={"n": 1}, after={"n": 2})
        for name in ("scale", "purge")
    )
    one = await acting(store)
    await store.save(replace(one, progress=Progress(plan=plan)))
    one = await claimed(store, one.id)
    await applied(store, one)
    await finished(store, one)

    (item,) = (await store.page("runs", {"incident": one.incident_id, "state": "verified"}, 10, "")).items

    wanted = "id playbook revision target kind state mode incident created_at finished_at verdict steps"
    assert set(wanted.split()) <= item.keys()
    assert isinstance(item["steps"], list)
    steps = {str(step["id"]): step["state"] for step in item["steps"]}  # type: ignore[call-overload, index] # JSON
    assert steps == {"scale": "applied", "purge": "not_needed"}
    assert item["steps"][0]["after"] == {"workers": 6}  # type: ignore[call-overload, index] # JSON
    assert datetime.fromisoformat(str(item["created_at"])) == one.created_at
    assert str(item["created_at"]).endswith("Z")


async def test_steps_are_in_the_playbooks_order_with_their_own_times(store: SqlStore) -> None:
    plan = tuple(
        PlannedStep(id=name, action=action, arguments={}, before=None, after="x")
        for name, action in (("switch", "http.request"), ("wait", "wait"), ("empty", "http.request"), ("note", "note"))
    )
    one = await acting(store)
    said = (Said(step="note", text="x", at=store.now()),)
    await store.save(replace(one, progress=Progress(plan=plan, passed=("wait", "note"), said=said)))
    one = await claimed(store, one.id)
    await applied(store, one, step="switch")
    made = await applied(store, one, step="empty", index=2)
    await store.settle(one, replace(made, state=RecordState.UNDO_INTENDED))
    await store.settle(one, replace(made, state=RecordState.UNDONE))
    await finished(store, one)

    steps = (await by_id(store, "runs"))[one.id]["steps"]
    records = await by_id(store, "records")

    assert [step["id"] for step in steps] == ["switch", "wait", "empty", "note"]
    assert [step["at"] is None for step in steps] == [False, True, False, False]
    for name in ("settled_at", "undone_at"):
        assert [step.get(name) for step in steps if "record" in step] == [
            records[step["record"]][name] for step in steps if "record" in step
        ]
    assert steps[0]["at"] == records[steps[0]["record"]]["created_at"]
    assert steps[2]["undone_at"] is not None


async def test_incidents_and_decisions_are_listed_with_the_promised_fields(store: SqlStore) -> None:
    one = await started(store)
    account = await store.account(one.incident_id)
    assert account is not None
    (firing,) = account.episodes
    await write(store, decisions=[Decision(firing.id, "restart", Verdict.RUN, "why", store.now(), run_id=one.id)])

    (item,) = (await store.page("incidents", {"status": "open"}, 10, "")).items
    wanted = "id source receiver group_key status severity team needs_person opened_at resolved_at episodes runs"
    assert set(wanted.split()) <= item.keys()
    assert (item["episodes"], item["runs"]) == ([firing.id], [one.id])
    (item,) = (await store.page("decisions", {"incident": one.incident_id}, 10, "")).items
    assert {"playbook", "episode", "verdict", "reason", "first_at", "last_at", "count", "run"} <= item.keys()


@pytest.mark.parametrize(
    ("kind", "filters", "cursor", "said"),
    [
        ("runs", {"colour": "red"}, "", "colour"),
        ("decisions", {"count": "many"}, "", "many"),
        ("runs", {}, "nonsense", "cursor"),
        ("audit", {}, "WyJ4Il0=", "cursor"),
        ("horses", {}, "", "horses"),
    ],
)
async def test_a_wrong_question_is_said_to_be_one(
    store: SqlStore, kind: str, filters: dict[str, str], cursor: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        await store.page(kind, filters, 10, cursor)


async def test_episodes_are_found_by_labels(store: SqlStore) -> None:
    one = episode(store, labels={"a": "1", "b": "x", 'odd"name': "y"})
    two = episode(store, labels={"a": "1"}, opened_at=store.now() + HOUR)
    await write(store, episodes=[one, two])
    assert list(await store.episodes_matching({"a": "1"}, 10)) == [two, one]
    assert list(await store.episodes_matching({"a": "1", 'odd"name': "y"}, 10)) == [one]
    assert list(await store.episodes_matching({"a": "2"}, 10)) == []
    assert len(await store.episodes_matching({}, 1)) == 1


async def test_a_pause_makes_due_what_it_covers_and_its_end_what_it_refused(store: SqlStore) -> None:
    covered = await started(store, target="http/checkout/x")
    other = await started(store, target="http/other")
    for one in (covered, other):
        await store.save(replace(one, state=RunState.KEPT, due_at=store.now() + HOUR))
    refused = episode(store)
    at = store.now()
    await write(
        store,
        episodes=[refused],
        decisions=[
            Decision(refused.id, "a", Verdict.BUSY, "", at - HOUR),
            Decision(refused.id, "b", Verdict.PAUSED, "", at),
        ],
    )

    await store.pause(Pause("p", "halt", "target:http/checkout*", "fire", "ann", at))
    assert [one.id for one in await store.claim_runs(10)] == [covered.id]
    assert [item["id"] for item in (await store.page("pauses", {"kind": "halt"}, 10, "")).items] == ["p"]

    assert await store.resume("none", "ann") == 0
    assert await store.resume("p", "ann") == 1
    assert await store.resume("p", "ann") == 0
    async with store.slice() as slice_:
        assert [one.id for one in await slice_.due_episodes(10)] == [refused.id]
        assert await slice_.pauses() == []
    assert await actions_of(store, "target:http/checkout*") == ["halt.begun", "halt.lifted"]


async def test_a_pause_outlives_the_process(store: SqlStore, store_url: str) -> None:
    from responder.stores.registry import open_store

    pause = Pause("p", "pause", "all", "deploy", "ann", store.now())
    await store.pause(pause)
    await store.close()
    again = open_store(store_url)
    await again.open()
    try:
        async with again.slice() as slice_:
            assert list(await slice_.pauses()) == [pause]
    finally:
        await again.close()


async def test_a_kick_reaches_episodes_by_their_latest_decision(store: SqlStore) -> None:
    at = store.now()
    episodes = [episode(store) for _ in range(3)]
    closed = episode(store, state=EpisodeState.CLOSED, closed_at=at)
    decisions = [Decision(one.id, "", Verdict.NO_MATCH, "", at) for one in (*episodes, closed)]
    later = Decision(episodes[2].id, "restart", Verdict.ACTED, "", at + timedelta(seconds=1))
    await write(store, episodes=[*episodes, closed], decisions=[*decisions, later])
    assert await store.kick([Verdict.NO_MATCH, Verdict.DISABLED]) == 2
    assert await store.kick([]) == 0


async def test_depths_count_what_waits_and_how_long(store: SqlStore) -> None:
    await deliver(store, "a", "b")
    one = await started(store, tell=["console:"])
    advance(store, timedelta(seconds=30))
    depths = await store.depths()
    assert (depths["deliveries"].waiting, depths["runs"].waiting, depths["outbox"].waiting) == (2, 1, 1)
    assert depths["deliveries"].oldest_seconds == pytest.approx(30, abs=2)
    await finished(store, one)
    (claim, _) = await store.claim_deliveries(2)
    await write(store, progress=[DeliveryProgress(claim.id, claim.epoch, 1, done=True)])
    depths = await store.depths()
    assert (depths["deliveries"].waiting, depths["runs"].waiting) == (1, 0)


async def test_what_is_past_its_time_goes_in_small_batches_and_what_is_open_stays(store: SqlStore) -> None:
    await deliver(store, "waiting", "done1", "done2")
    for one in await store.claim_deliveries(3):
        if one.id != "waiting":
            await write(store, progress=[DeliveryProgress(one.id, one.epoch, 1, done=True)])
    over = await acting(store, tell=["console:"])
    await applied(store, over)
    account = await store.account(over.incident_id)
    assert account is not None
    closed = [replace(e, state=EpisodeState.CLOSED, closed_at=store.now()) for e in account.episodes]
    await write(store, episodes=closed, decisions=[Decision(closed[0].id, "", Verdict.RUN, "", store.now())])
    await finished(store, over)
    going = await acting(store, target="http/going", tell=["console:"])
    await applied(store, going)
    keep = {"deliveries": HOUR, "history": HOUR, "audit": HOUR}
    assert await store.expire(keep, 100) == 0

    advance(store, timedelta(hours=2))
    assert await store.expire({"deliveries": HOUR}, 1) == 1
    assert await store.expire({"deliveries": HOUR}, 10) == 1
    while await store.expire(keep, 2):
        pass

    assert set(await by_id(store, "deliveries")) == {"waiting"}
    assert set(await by_id(store, "runs")) == {going.id}
    assert set(await by_id(store, "incidents")) == {going.incident_id}
    assert len(await by_id(store, "episodes")) == len(await by_id(store, "records")) == 1
    assert len((await store.page("outbox", {}, 10, "")).items) == 1
    assert (await store.page("decisions", {}, 10, "")).items == []
    assert (await store.page("audit", {}, 10, "")).items == []
    with pytest.raises(ValueError, match="horses"):
        await store.expire({"horses": HOUR}, 1)


async def test_an_end_without_a_beginning_goes_with_the_deliveries_that_it_answers(store: SqlStore) -> None:
    over = {"state": EpisodeState.CLOSED, "closed_at": store.now()}
    unseen = episode(store, incident_id="", **over)
    await write(store, episodes=[unseen, episode(store, incident_id="i", **over), episode(store, incident_id="")])
    assert await store.expire({"deliveries": HOUR}, 10) == 0
    advance(store, timedelta(hours=2))
    assert await store.expire({"deliveries": HOUR}, 10) == 1
    kept = await by_id(store, "episodes")
    assert len(kept) == 2
    assert unseen.id not in kept


async def test_a_playbook_text_stays_while_a_run_or_a_file_needs_it(store: SqlStore) -> None:
    for revision in ("pinned", "old", "latest"):
        await store.keep_playbook("restart", revision, "restart.yaml", revision)
    await write(store, runs=[(run(store, revision="pinned"), frozenset())])
    advance(store, timedelta(hours=2))
    await store.expire({"history": HOUR}, 10)
    kept = [one for one in ("pinned", "old", "latest") if await store.playbook_text(one)]
    assert kept == ["pinned", "latest"]


async def test_a_store_that_works_answers_a_ping(store: SqlStore) -> None:
    await store.ping()
    assert await store.schema_version() == migrate.head()


@pytest.mark.promise(17)
async def test_of_equal_requests_on_two_replicas_one_is_taken_up(store: SqlStore, replica: SqlStore) -> None:
    one = await started(store, tell=["slack:#a"])
    press = Audit(PRESSED, one.incident_id, "ana", {"button": "Stop"})
    for number in range(3):
        taken = await asyncio.gather(*(at.pressed(f"once {number}", press, "") for at in (store, replica) * 2))
        assert sorted(taken) == [False, False, False, True]
    assert await actions_of(store, one.incident_id) == [PRESSED] * 3


async def test_clicks_are_in_the_account_and_their_incident_is_told_again(store: SqlStore) -> None:
    one = await started(store, tell=["slack:#a"])
    before = await _wanted(store)
    assert await store.pressed("once", Audit(PRESSED, one.incident_id, "ana", {"button": "Stop"}), one.incident_id)
    await store.press_refused(Audit(PRESS_REFUSED, one.incident_id, "ana", {"button": "Stop", "why": "late"}),
                              one.incident_id)  # fmt: skip
    account = await store.account(one.incident_id)
    assert account is not None
    assert [(click.by, click.button, click.refused) for click in account.clicks] == [
        ("ana", "Stop", ""), ("ana", "Stop", "late"),
    ]  # fmt: skip
    assert await _wanted(store) == before + 2


async def _wanted(store: SqlStore) -> int:
    (item,) = (await store.page("outbox", {}, 2, "")).items
    return int(str(item["want_rev"]))


async def test_whoever_asks_first_has_stopped_a_run(store: SqlStore, replica: SqlStore) -> None:
    one = await acting(store)
    assert await store.stop(one.id, "ana")
    assert await replica.stop(one.id, "ben")
    found = await store.run(one.id)
    assert found is not None
    assert found.stop_by == "ana"


async def test_what_is_being_taken_back_is_no_longer_to_be_stopped(store: SqlStore) -> None:
    one = await acting(store)
    await applied(store, one)
    await store.keep(replace(one, state=RunState.KEPT, due_at=store.now() + HOUR), RunEnd())
    back = await store.roll_back(one.id, "ana", "wrong")
    assert isinstance(back, Run)
    assert not await store.stop(one.id, "ben"), "a stop would say that it is kept"
    mine = await claimed(store, back.id)
    assert await store.take_slot(replace(mine, state=RunState.UNDOING)) is None
    assert not await store.stop(back.id, "ben"), "nothing would come of it"
    found = [await store.run(run_id) for run_id in (one.id, back.id)]
    assert [run.stop_by for run in found if run is not None] == ["", ""]


async def test_a_rollback_that_is_stopped_while_it_takes_its_target_does_not_begin(store: SqlStore) -> None:
    one = await acting(store)
    await applied(store, one)
    back = await store.roll_back((await finished(store, one)).id, "ana", "wrong")
    assert isinstance(back, Run)
    mine = await claimed(store, back.id)
    assert await store.stop(back.id, "ben")
    with pytest.raises(Conflict):
        await store.take_slot(replace(mine, state=RunState.UNDOING))


async def test_a_rollback_is_refused_while_what_was_kept_is_being_given_back(store: SqlStore) -> None:
    one = await acting(store)
    await applied(store, one)
    await store.save(replace(one, state=RunState.REVERTING, due_at=store.now() + HOUR))
    refused = await store.roll_back(one.id, "ana", "wrong")
    assert isinstance(refused, Refusal)
    assert refused.verdict is Verdict.BUSY
    assert "being given back just now; wait until it is over" in refused.reason


@pytest.mark.parametrize("state", [RunState.EXPIRED, RunState.SKIPPED, RunState.VERIFIED])
async def test_a_no_to_a_question_between_two_steps_is_seen_by_the_turn_that_ends_the_run(
    store: SqlStore, state: RunState
) -> None:
    """Its alert may have ended while it asked: the turn that found so must not end the run over what somebody said."""
    one = await acting(store)
    await applied(store, one)
    asking = replace(one, progress=one.progress.model_copy(update={"asked": 1, "asking": "ask"}), due_at=store.now())
    await store.save(asking, ask=_question(asking, store.now()))
    mine = await claimed(store, one.id)
    assert await store.answer(one.id, approve=False, actor="ana", plan_hash="", comment="graphs are red") is None
    found = await store.run(one.id)
    assert found is not None
    assert found.stop_by == "ana"
    with pytest.raises(Conflict):
        await store.finish(replace(mine, state=state, finished_at=store.now()), RunEnd())


async def _alert_of(store: SqlStore, run_id: str) -> tuple[str, str]:
    (row,) = (await store.page("runs", {"id": run_id}, 1, "")).items
    assert isinstance(row["episodes"], list)
    (served,) = row["episodes"]
    (known,) = (await store.page("episodes", {"id": str(served)}, 1, "")).items
    return str(known["source"]), str(known["fingerprint"])


async def _anew(store: SqlStore, one: Episode, tx: Slice) -> str:
    """Let an alert begin anew, unserved by its run, as while the playbook rests; returns the new episode."""
    over = replace(one, state=EpisodeState.CLOSED, closed_at=store.now(), closed_reason="flap")
    anew = replace(one, id=new_id(), opened_at=store.now())
    await tx.write(SliceChanges(episodes=[over, anew]))
    return anew.id


async def _began_anew(store: SqlStore, run_id: str) -> str:
    alert = await _alert_of(store, run_id)
    async with store.slice() as tx:
        (one,) = await tx.episodes_by_key({alert})
        return await _anew(store, one, tx)


async def test_a_stop_that_comes_while_its_alert_is_decided_waits_for_that(store: SqlStore, replica: SqlStore) -> None:
    one = await acting(store)
    alert = await _alert_of(store, one.id)
    async with store.slice() as tx:
        (known,) = await tx.episodes_by_key({alert})
        stopping = asyncio.create_task(replica.stop(one.id, "ana"))
        await asyncio.wait([stopping], timeout=0.3)
        anew = await _anew(store, known, tx)
    assert await stopping
    async with store.slice() as tx:
        assert [(run.id, run.declined) for run in await tx.runs_near([], [anew], store.now())] == [(one.id, True)]


@pytest.mark.parametrize("what", ["stop", "no", "rollback", "stays"])
async def test_a_no_is_one_to_the_alert_as_it_is_now(store: SqlStore, what: str) -> None:
    """Its start had moved before somebody spoke, and the run did not serve what that was taken for."""
    one = await acting(store)
    await applied(store, one)
    if what == "no":
        await store.save(replace(one, due_at=store.now() + HOUR), ask=_question(one, store.now()))
    elif what == "stays":
        kept = replace(one, state=RunState.KEPT, kept_at=store.now(), due_at=store.now() + HOUR)
        await store.keep(kept, RunEnd())
    elif what == "rollback":
        await finished(store, one)
    anew = await _began_anew(store, one.id)
    if what == "no":
        assert await store.answer(one.id, approve=False, actor="ana", plan_hash="", comment="") is None
    elif what == "rollback":
        assert isinstance(await store.roll_back(one.id, "ana", "wrong"), Run)
    else:
        assert await store.stop(one.id, "ana")
    async with store.slice() as slice_:
        near = await slice_.runs_near([], [anew], store.now())
    assert [(run.id, run.declined) for run in near] == ([] if what == "stays" else [(one.id, True)])


async def test_a_run_can_be_stopped_however_many_alerts_it_serves(store: SqlStore) -> None:
    """More than a server has room for in its table of locks: then a stop is needed most."""
    one = await acting(store)
    many = [episode(store, fingerprint=f"f{number}") for number in range(30_000)]
    await write(store, episodes=many)
    async with store.db.writing(Order.CONTROL) as tx:
        await tx.execute(insert(run_episodes), [{"run_id": one.id, "episode_id": each.id} for each in many])
    assert await store.stop(one.id, "ana")


async def test_a_no_to_a_plan_is_known_to_decide_before_the_run_has_taken_it_up(store: SqlStore) -> None:
    """An alert whose start moves in that moment is no new one."""
    one = await started(store)
    asking = replace(one, progress=one.progress.model_copy(update={"asked": 1}), state=RunState.AWAITING_APPROVAL)
    await store.save(asking, ask=_question(asking, store.now()))
    assert await store.answer(one.id, approve=False, actor="ana", plan_hash="", comment="") is None
    async with store.slice() as slice_:
        (near,) = await slice_.runs_near([one.target], [], store.now() - HOUR)
    assert (near.state, near.declined) == (RunState.AWAITING_APPROVAL, True)


@pytest.mark.parametrize("state", [RunState.VERIFYING, RunState.UNDOING])
async def test_who_has_left_the_steps_asks_nothing_any_more(store: SqlStore, state: RunState) -> None:
    one = await acting(store)
    await applied(store, one)
    asking = replace(one, progress=one.progress.model_copy(update={"asked": 1, "asking": "ask"}), due_at=store.now())
    await store.save(asking, ask=_question(asking, store.now()))
    mine = await claimed(store, one.id)
    left = mine.progress.model_copy(update={"asking": ""})
    await store.save(replace(mine, state=state, progress=left, due_at=store.now() + HOUR))
    for yes in (True, False):
        late = await store.answer(one.id, yes, "ana", "hash", "")
        assert late is not None
        assert "no longer asks" in late.reason


def _question(run: Run, now: datetime) -> Approval:
    return Approval(
        id=new_id(), run_id=run.id, plan_hash="hash", plan=[], state="pending", asked_at=now, expires_at=now + HOUR
    )  # fmt: skip


async def test_what_a_rollback_under_way_works_on_stays_however_old_it_is(store: SqlStore) -> None:
    """A halt may hold it for days: without its records it would end as if everything were undone."""
    one = await acting(store, tell=["console:"])
    made = await applied(store, one)
    account = await store.account(one.incident_id)
    assert account is not None
    await write(
        store, episodes=[replace(e, state=EpisodeState.CLOSED, closed_at=store.now()) for e in account.episodes]
    )
    await finished(store, one)
    back = await store.roll_back(one.id, "ann", "undo it")
    assert isinstance(back, Run)
    advance(store, timedelta(hours=2))
    while await store.expire({"history": HOUR}, 10):
        pass
    back = await claimed(store, back.id)
    assert [record.id for record in (await store.standing(back, WINDOW)).records] == [made.id]
    assert await store.account(one.incident_id) is not None
    await finished(store, back, RunState.ROLLED_BACK)
    advance(store, timedelta(hours=2))
    while await store.expire({"history": HOUR}, 10):
        pass
    assert await by_id(store, "runs") == await by_id(store, "records") == {}
