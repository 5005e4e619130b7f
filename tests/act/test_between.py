"""Steps between changes: they wait, ask, call and note, once each, and nothing of the target is theirs."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from responder.app import catalogue
from responder.domain.buttons import Press
from responder.domain.ids import new_id
from responder.domain.limits import Refusal
from responder.domain.modes import Mode
from responder.domain.notification import Headline
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.playbook.schema import examine
from responder.playbook.times import time_allowed
from responder.ports.store import SliceChanges
from responder.stores.core.database import Order
from responder.stores.core.store import SqlStore
from responder.stores.schema import runs
from responder.tell.buttons import buttons
from responder.tell.compose import compose
from tests.act_bed import SECOND_STEP, Bed, needs_person, open_bed, playbook_text
from tests.bed import ledger
from tests.bed.stores import embedded
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually

NOTE = '  - note: { text: "from here on {{ labels.alertname }}" }\n'
ASK = "  - ask: { question: Is it well?, timeout: 5m }\n"
BRIEFLY = ASK.replace("5m", "200ms")
PAGE = "  - page: { reason: look at the cache }\n"


@pytest.fixture
async def bed(tmp_path: Path, target: Target) -> AsyncIterator[Bed]:
    target.resources["workers"], target.resources["cache"] = {"workers": 4}, {"megabytes": 64}
    opened = await open_bed(embedded(tmp_path / "r.db"), target.url)
    yield opened
    await opened.tools.close()
    await opened.store.close()


def text(*more: str, mode: str = "auto") -> str:
    return playbook_text(mode=mode, more_steps="".join(more))


def effects(target: Target) -> list[str]:
    return [entry.name for entry in ledger.effects(target.ledger.entries)]


async def until_asked(bed: Bed, run: Run) -> Mapping[str, object]:
    """Take turns until the run asks, and return the question."""
    working = asyncio.create_task(bed.work(run, until=frozenset({RunState.FAILED}), turns=400))

    async def question() -> Mapping[str, object] | None:
        found = (await bed.store.page("approvals", {"run": run.id}, 5, "")).items
        return next((dict(one) for one in found if one["state"] == "pending"), None)

    try:
        found = await eventually(question)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert found is not None
    return found


async def answer(bed: Bed, run: Run, asked: Mapping[str, object], *, yes: bool, comment: str = "") -> Refusal | None:
    return await bed.store.answer(run.id, yes, "ana", str(asked["plan_hash"]), comment)


async def audit(bed: Bed, run: Run) -> list[str]:
    rows = (await bed.store.page("audit", {"subject": run.id}, 100, "")).items
    return [str(row["action"]) for row in reversed(rows)]


async def test_a_yes_lets_the_run_go_on_and_everything_is_said_once(bed: Bed, target: Target) -> None:
    run = await bed.begin(text(NOTE, PAGE, ASK, SECOND_STEP))
    asked = await until_asked(bed, run)
    assert effects(target) == ["workers"]
    assert "look at the cache" in await needs_person(bed, run)
    other = await bed.work(await bed.begin(text()))
    assert other.verdict is Verdict.BUSY, "who calls a person and asks holds its target"

    account = await bed.store.account(run.incident_id)
    assert account is not None
    offered = {one.press: one for one in buttons(account)}
    assert offered[Press.APPROVE].shows == ("ask: Is it well?",)
    assert offered[Press.APPROVE].revision == asked["plan_hash"]
    told = compose(account, 1, bed.store.now(), lambda _: None, "")
    assert any("may it?" in line.text for line in told.lines)
    assert [entry.text for entry in told.entries if "from here on Overloaded" in entry.text] != []

    assert await answer(bed, run, asked, yes=True) is None
    ended = await bed.work(run)
    assert ended.state is RunState.VERIFIED
    assert effects(target) == ["workers", "cache"]
    said = await audit(bed, run)
    assert [said.count(one) for one in ("run.note", "run.page", "question_asked", "approval.spent")] == [1, 1, 1, 1]
    assert await needs_person(bed, run) == "", "it helped: nobody is called any more"
    (row,) = (await bed.store.page("runs", {"id": run.id}, 1, "")).items
    states = {step["id"]: step["state"] for step in row["steps"]}  # type: ignore[union-attr,index,call-overload] # a list of steps
    assert states == {"add": "applied", "cache": "applied", "note": "done", "page": "done", "ask": "done"}


async def test_a_no_undoes_what_was_done(bed: Bed, target: Target) -> None:
    run = await bed.begin(text(ASK, SECOND_STEP))
    asked = await until_asked(bed, run)
    assert await answer(bed, run, asked, yes=False, comment="graphs are red") is None
    ended = await bed.work(run)
    assert ended.state is RunState.ROLLED_BACK
    assert "ana said no" in ended.reason
    assert "graphs are red" in ended.reason
    assert effects(target) == ["workers", "workers"]
    assert await needs_person(bed, run) == ""
    assert not bed.said("episodes_due"), "nothing follows a person's no"


async def test_a_no_counts_also_when_the_alert_has_ended_while_it_was_asked(bed: Bed, target: Target) -> None:
    run = await bed.begin(text(ASK, SECOND_STEP))
    asked = await until_asked(bed, run)
    await bed.close_episode(run)
    assert await answer(bed, run, asked, yes=False, comment="graphs are red") is None
    ended = await bed.work(run)
    assert (ended.state, ended.verdict) == (RunState.ROLLED_BACK, Verdict.REJECTED)
    assert ended.reason.startswith("ana said no. “graphs are red”")
    assert effects(target) == ["workers", "workers"]


async def test_a_no_that_an_older_version_has_taken_counts_as_well(bed: Bed, target: Target) -> None:
    run = await bed.begin(text(ASK, SECOND_STEP))
    asked = await until_asked(bed, run)
    assert await answer(bed, run, asked, yes=False) is None
    assert isinstance(bed.store, SqlStore)
    async with bed.store.db.writing(Order.CONTROL) as tx:
        await tx.execute(update(runs).where(runs.c.id == run.id).values(stop_by=""))
    ended = await bed.work(run)
    assert (ended.state, ended.verdict) == (RunState.ROLLED_BACK, Verdict.REJECTED)
    assert effects(target) == ["workers", "workers"]


async def test_a_question_ends_with_its_alert_and_a_late_answer_is_told_so(bed: Bed, target: Target) -> None:
    run = await bed.begin(text(ASK, SECOND_STEP))
    asked = await until_asked(bed, run)
    await bed.close_episode(run)
    left = await bed.work(run, until=frozenset({RunState.VERIFYING, RunState.VERIFIED}))
    assert left.progress.asking == ""
    for yes in (True, False):
        late = await answer(bed, run, asked, yes=yes)
        assert late is not None
        assert "no longer asks, as when its alert has ended" in late.reason
    assert (await bed.work(run)).state is RunState.VERIFIED
    assert effects(target) == ["workers"]


async def test_without_an_answer_it_is_undone_and_a_person_is_called(bed: Bed, target: Target) -> None:
    run = await bed.begin(text(BRIEFLY, SECOND_STEP))
    ended = await bed.work(run)
    assert ended.state is RunState.ROLLED_BACK
    assert effects(target) == ["workers", "workers"]
    assert "nobody answered in time" in await needs_person(bed, run)
    assert not bed.said("episodes_due"), "nothing follows by itself"


async def _tried_once_more(bed: Bed, run: Run) -> Run:
    """Create another run for the alert of one that is over, as decide does where ``attempts`` allow it."""
    now = bed.store.now()
    again = Run(
        id=new_id(), kind="forward", playbook=run.playbook, revision=run.revision, target=run.target,
        state=RunState.RESOLVING, mode=run.mode, severity=run.severity, incident_id=run.incident_id,
        context=run.context, created_at=now, due_at=now, deadline=now + timedelta(minutes=10),
    )  # fmt: skip
    async with bed.store.slice() as tx:
        (alert,) = await tx.episodes_by_key({("am", run.context.fingerprint)})
        await tx.write(SliceChanges(runs=[(again, frozenset({alert.id}))]))
    return again


async def test_a_second_run_that_asks_is_what_the_message_is_about(bed: Bed) -> None:
    first = await bed.work(await bed.begin(text(ASK.replace("5m", "2s"), SECOND_STEP)))
    assert first.state is RunState.ROLLED_BACK
    second = await _tried_once_more(bed, first)
    asked = await until_asked(bed, second)
    account = await bed.store.account(first.incident_id)
    assert account is not None
    news = compose(account, 1, bed.store.now(), lambda _: None, "")
    assert (news.headline, news.run_id) == (Headline.WAITING, second.id)
    assert "nobody answered in time" in news.why, "a person is still called for"
    before, now = news.questions
    assert (before.outcome, now.pending) == ("Nobody answered in time", True)
    assert [one.revision for one in now.buttons if one.press is Press.APPROVE] == [asked["plan_hash"]]


async def test_a_yes_to_the_plan_is_no_yes_to_the_question(bed: Bed, target: Target) -> None:
    run = await bed.begin(text(ASK, SECOND_STEP, mode="approve"))
    plan = await until_asked(bed, run)
    assert await answer(bed, run, plan, yes=True) is None
    question = await until_asked(bed, run)
    assert question["plan_hash"] != plan["plan_hash"]
    assert effects(target) == ["workers"]
    refused = await answer(bed, run, plan, yes=True)
    assert refused is not None
    assert effects(target) == ["workers"]


async def test_a_wait_takes_its_time_and_ends_with_its_alert(bed: Bed, target: Target) -> None:
    began = bed.store.now()
    run = await bed.begin(text("  - wait: { for: 400ms }\n", SECOND_STEP))
    assert (await bed.work(run)).state is RunState.VERIFIED
    assert bed.store.now() - began >= timedelta(milliseconds=400)
    assert (await audit(bed, run)).count("run.wait") == 1

    target.resources["workers"], target.resources["cache"] = {"workers": 4}, {"megabytes": 64}
    run = await bed.begin(text("  - wait: { for: 300ms }\n", SECOND_STEP))
    await eventually(lambda: _started(bed, run))
    await bed.close_episode(run)
    assert (await bed.work(run)).state is RunState.VERIFIED
    assert effects(target) == ["workers", "cache", "workers"], "no further step for an alert that is gone"


async def _started(bed: Bed, run: Run) -> bool:
    await bed.work(run, until=frozenset({RunState.ACTING}))
    current = await bed.store.run(run.id)
    return current is not None and current.progress.pausing is not None


def test_a_run_has_the_time_that_its_waits_and_questions_take() -> None:
    plain, _ = examine(text(), "a.yaml", catalogue(), None)
    long, _ = examine(text("  - wait: { for: 2h }\n", ASK.replace("5m", "3h")), "a.yaml", catalogue(), None)
    assert plain is not None
    assert long is not None
    assert time_allowed(long, Mode.AUTO) - time_allowed(plain, Mode.AUTO) == timedelta(hours=5)
    assert long.effects == 1


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ("  - wait: { for: 1m }\n    retries: 2\n", "retries: wait changes nothing"),
        ("  - ask: { question: x }\n    undo: none\n", "undo: ask changes nothing"),
    ],
)
def test_what_makes_no_sense_between_changes_is_refused(steps: str, why: str) -> None:
    _, complaints = examine(text(steps), "a.yaml", catalogue(), None)
    assert why in "".join(map(str, complaints))


def test_steps_that_change_nothing_are_no_steps() -> None:
    head, _, rest = text().partition("steps:\n")
    tail = rest[rest.index("verify:") :]
    _, complaints = examine(f"{head}steps:\n{NOTE}{tail}", "a.yaml", catalogue(), None)
    assert "none of them changes anything" in "".join(map(str, complaints))
