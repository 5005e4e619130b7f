"""Two people who must say yes: whoever answers at the same moment on two replicas, exactly two names are needed."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import JsonValue

from responder.domain.episodes import EpisodeState
from responder.domain.ids import new_id
from responder.domain.limits import NO_LIMITS, Refusal
from responder.domain.notification import Approval
from responder.domain.runs import Context, Progress, Run, RunState
from responder.stores.core.store import SqlStore
from responder.telemetry import Privacy, Redactor
from tests.conformance.building import HOUR, actions_of, claimed, episode, run, started, verdict, write


async def _question(store: SqlStore, run: Run, plan_hash: str = "h") -> None:
    now = store.now()
    ask = Approval(new_id(), run.id, plan_hash, [], "pending", now, now + timedelta(minutes=10), four_eyes=True)
    await store.save(run, ask=ask)


async def _asked(store: SqlStore, **changes: Any) -> Run:  # noqa: ANN401 - whatever fields the test is about
    one = await started(store, **changes)
    one = replace(one, state=RunState.AWAITING_APPROVAL, due_at=store.now() + HOUR, progress=Progress(asked=1))
    await _question(store, one)
    return one


async def _yes(store: SqlStore, run: Run, actor: str, plan_hash: str = "h") -> Refusal | None:
    return await store.answer(run.id, approve=True, actor=actor, plan_hash=plan_hash, comment=f"{actor} looked")


async def _open(store: SqlStore, run: Run) -> dict[str, Any]:
    (item, *_) = (await store.page("approvals", {"run": run.id}, 1, "")).items
    return dict(item)


async def test_a_run_goes_on_behind_the_second_yes(store: SqlStore) -> None:
    one = await _asked(store)
    assert await _yes(store, one, "ann") is None
    noted = await _open(store, one)
    assert (noted["state"], noted["first_by"], noted["first_comment"]) == ("pending", "ann", "ann looked")
    assert await store.claim_runs(10) == []
    assert verdict(await _yes(store, one, "ann")) == "acted"
    assert await _yes(store, one, "bob") is None
    approval = (await store.standing(await claimed(store, one.id), NO_LIMITS)).approval
    assert approval is not None
    assert (approval.state, approval.first_by, approval.decided_by) == ("approved", "ann", "bob")
    said = ["run.awaiting_approval", "run.first_yes", "run.answer_refused", "run.approved"]
    assert await actions_of(store, one.id) == said


async def test_a_question_comes_with_the_labels_by_which_it_is_known_what_of_it_is_hidden(store: SqlStore) -> None:
    labels = {"alertname": "HighLatency", "customer": "Acme Corp"}
    one = await started(store, context=Context(labels=labels))
    one = replace(one, state=RunState.AWAITING_APPROVAL, due_at=store.now() + HOUR, progress=Progress(asked=1))
    now = store.now()
    plan: JsonValue = [{"id": "raise", "after": {"limit of Acme Corp": 9}}, {"id": "say", "after": "to Acme Corp"}]
    await store.save(one, ask=Approval(new_id(), one.id, "h", plan, "pending", now, now + timedelta(minutes=10)))
    shown = [await _open(store, one), *(dict(item) for item in (await store.page("runs", {"id": one.id}, 1, "")).items)]
    assert [item["labels"] for item in shown] == [labels, labels]
    redactor = Redactor(privacy=Privacy(labels=frozenset({"customer"})))
    for item in shown:
        assert "to Acme Corp" not in json.dumps(redactor.redact_json(item))


async def test_one_person_on_two_replicas_at_once_is_one_person(store: SqlStore, replica: SqlStore) -> None:
    for _ in range(5):
        one = await _asked(store)
        said = await asyncio.gather(*(_yes(at, one, "ann") for at in (store, replica, store, replica)))
        assert sorted(verdict(answer) for answer in said) == ["", "acted", "acted", "acted"]
        assert (await _open(store, one))["state"] == "pending"
        await store.answer(one.id, approve=False, actor="ann", plan_hash="", comment="")


async def test_of_many_at_once_on_two_replicas_exactly_two_count(store: SqlStore, replica: SqlStore) -> None:
    for _ in range(5):
        one = await _asked(store)
        people = zip(("ann", "bob", "cid", "dee"), (store, replica, store, replica), strict=True)
        said = await asyncio.gather(*(_yes(at, one, name) for name, at in people))
        assert sorted(verdict(answer) for answer in said) == ["", "", "acted", "acted"]
        found = await _open(store, one)
        assert found["state"] == "approved"
        assert found["first_by"] != found["decided_by"]
        await claimed(store, one.id)


async def test_a_new_plan_needs_both_again(store: SqlStore) -> None:
    one = await _asked(store)
    await _yes(store, one, "ann")
    await store.answer(one.id, approve=True, actor="bob", plan_hash="h", comment="")
    one = await claimed(store, one.id)
    await _question(store, replace(one, due_at=store.now() + HOUR), "h2")
    assert verdict(await _yes(store, one, "bob")) == "plan_changed"
    assert await _yes(store, one, "bob", "h2") is None
    found = await _open(store, one)
    assert (found["state"], found["plan_hash"], found["first_by"]) == ("pending", "h2", "bob")


async def test_who_asked_for_the_run_is_neither_of_the_two(store: SqlStore) -> None:
    one = await _asked(store, context=Context(requested_by="ann"))
    assert verdict(await _yes(store, one, "ann")) == "not_allowed"
    assert await _yes(store, one, "bob") is None
    assert await _yes(store, one, "cid") is None


async def test_an_answer_of_somebody_who_may_not_is_written_down(store: SqlStore) -> None:
    one = await _asked(store)
    await store.refuse_answer(one.id, approve=True, actor="eve", reason="eve (viewer) may not")
    (entry, *_) = (await store.page("audit", {"subject": one.id}, 1, "")).items
    assert (entry["action"], entry["actor"]) == ("run.answer_refused", "eve")
    assert entry["details"] == {"answer": "yes", "reason": "eve (viewer) may not"}
    assert (await _open(store, one))["state"] == "pending"


async def test_who_asks_for_an_alert_that_ended_is_looked_at_at_once(store: SqlStore) -> None:
    """Also when the question is put while the alert ends: the run is in somebody's hands then."""
    ends, wait = [], []
    for state in (RunState.AWAITING_APPROVAL, RunState.CHECKING):
        firing = episode(store)
        one = run(store, state=state)
        await write(store, episodes=[firing], runs=[(one, frozenset({firing.id}))])
        ends.append(replace(firing, state=EpisodeState.CLOSED, closed_at=store.now()))
        wait.append(replace(await claimed(store, one.id), state=RunState.AWAITING_APPROVAL, due_at=store.now() + HOUR))
    await store.save(wait[0])
    await write(store, episodes=ends)
    await store.save(wait[1])
    assert {one.id for one in await store.claim_runs(10)} == {one.id for one in wait}
