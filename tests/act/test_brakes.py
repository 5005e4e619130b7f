"""A brake that comes between permission and send: a slow target must not make it late."""

import asyncio
from datetime import timedelta

import pytest

from responder.domain.limits import Pause
from responder.domain.records import RecordState
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from tests.act_bed import SECOND_STEP, Bed, playbook_text
from tests.bed import ledger
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually


def workers(target: Target) -> object:
    return target.resources["workers"]["workers"]


async def records(bed: Bed, run: Run) -> list[RecordState]:
    account = await bed.store.account(run.incident_id)
    assert account is not None
    return [record.state for record in account.records]


def brake(bed: Bed, kind: str, scope: str = "all") -> Pause:
    return Pause("b", kind, scope, "let me look", "ana", bed.store.now())


async def test_a_halt_that_comes_while_an_undo_reads_its_target_is_in_time(bed: Bed, target: Target) -> None:
    run = await bed.begin(playbook_text(verify="equals: 99", within="1s"))
    run = await bed.work(run, until=frozenset({RunState.UNDOING}))
    target.settings.latency_ms = 1000  # the look at the target before the undo takes longer than a permission lasts
    undoing = asyncio.create_task(bed.work(run, until=frozenset({RunState.PARKED, RunState.ROLLED_BACK})))

    async def intended() -> bool:
        return RecordState.UNDO_INTENDED in await records(bed, run)

    await eventually(intended, timedelta(seconds=10))
    await bed.store.pause(brake(bed, "halt"))
    run = await undoing
    assert (run.state, run.verdict) == (RunState.PARKED, Verdict.HALTED)
    assert "ana halted all: “let me look”" in run.reason
    assert await records(bed, run) == [RecordState.APPLIED]
    assert workers(target) == 6
    target.settings.latency_ms = 0
    await bed.store.resume("all", "ana")
    assert (await bed.work(run)).state is RunState.ROLLED_BACK
    assert workers(target) == 4


async def test_a_slow_target_is_undone_all_the_same(bed: Bed, target: Target) -> None:
    run = await bed.begin(playbook_text(verify="equals: 99", within="1s"))
    run = await bed.work(run, until=frozenset({RunState.UNDOING}))
    target.settings.latency_ms = 1000
    await bed.store.pause(brake(bed, "pause"))
    assert (await bed.work(run)).state is RunState.ROLLED_BACK
    assert workers(target) == 4


@pytest.mark.parametrize("scope", ["action:http.request", "playbook:add-*", "target:http/*"])
async def test_a_run_between_two_steps_waits_under_a_pause_and_says_why(bed: Bed, target: Target, scope: str) -> None:
    target.settings.latency_ms = 800  # so that the second step has to be looked at once more
    text = playbook_text(more_steps=SECOND_STEP, within="5s")
    run = await bed.begin(text)
    going = asyncio.create_task(bed.work(run))
    await eventually(lambda: ledger.effects(target.ledger.entries, "workers"), timedelta(seconds=10))
    await bed.store.pause(brake(bed, "pause", scope))

    async def waits() -> bool:
        now = await bed.store.run(run.id)
        return now is not None and f"ana paused {scope}: “let me look”" in now.reason

    await eventually(waits, timedelta(seconds=10))
    assert ledger.effects(target.ledger.entries, "cache") == []
    await bed.store.resume("all", "ana")
    ended = await going
    assert ended.state is RunState.VERIFIED, ended.reason
    assert "paused" not in ended.reason


async def test_a_playbook_that_did_not_help_asks_until_a_person_resets_it(bed: Bed, target: Target) -> None:
    text = playbook_text(verify="equals: 99", limits="limits:\n  trip_after: 1")
    failed = await bed.work(await bed.begin(text))
    assert failed.state is RunState.ROLLED_BACK
    again = await bed.work(await bed.begin(text), until=frozenset({RunState.AWAITING_APPROVAL}))
    assert again.state is RunState.AWAITING_APPROVAL
    assert len(ledger.effects(target.ledger.entries, "workers")) == 2  # there and back, once
    assert await bed.store.reset("add-workers", "ana")
    await bed.store.stop(again.id, "ana")
    assert (await bed.work(again)).state is RunState.CANCELLED
    third = await bed.work(await bed.begin(text), until=frozenset({RunState.VERIFYING}))
    assert third.state is RunState.VERIFYING
