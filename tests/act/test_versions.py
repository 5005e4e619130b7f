"""A playbook that this version cannot read is left to one that can, for a while."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

from responder.act.actor import LEFT, take_turn
from responder.act.engine import Engine
from responder.domain.errors import Complaint, PlaybookError
from responder.domain.runs import Run, RunState
from responder.playbook.model import Playbook
from responder.ports.clock import Clock
from responder.ports.store import UNCLAIMED_AFTER
from tests.act_bed import Bed, Wall, playbook_text

COMPLAINT = Complaint("test.yaml", 1, 1, "there is no action teleport.node", "unknown-action")


async def _cannot_read(_: Run) -> Playbook | None:
    raise PlaybookError((COMPLAINT,))


class Later(Wall):
    """A clock that is ahead."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


def _older(bed: Bed, clock: Clock | None = None) -> Engine:
    return replace(bed.engine, playbook_of=_cannot_read, clock=clock or bed.engine.clock)


async def _now(bed: Bed, run: Run) -> Run:
    found = await bed.store.run(run.id)
    assert found is not None
    return found


async def test_a_run_is_left_to_a_replica_that_can_read_its_playbook(bed: Bed) -> None:
    run = await bed.begin(playbook_text())
    [claimed] = await bed.store.claim_runs(1)
    await take_turn(_older(bed), claimed)
    left = await _now(bed, run)
    assert left.state is run.state
    assert timedelta() < left.due_at - run.due_at <= LEFT + timedelta(seconds=5)
    ended = await bed.work(run)
    assert ended.state is RunState.VERIFIED
    assert ended.progress.left_since is None


async def test_when_nobody_can_for_five_minutes_a_person_is_asked(bed: Bed) -> None:
    run = await bed.begin(playbook_text())
    [claimed] = await bed.store.claim_runs(1)
    left = await take_turn(_older(bed), claimed)
    clock = Later(bed.store)
    clock.ahead = UNCLAIMED_AFTER - timedelta(seconds=5)
    still = await take_turn(_older(bed, cast("Clock", clock)), await _now(bed, left))
    assert not still.state.final
    clock.ahead = UNCLAIMED_AFTER + timedelta(seconds=5)
    await take_turn(_older(bed, cast("Clock", clock)), await _now(bed, still))
    ended = await _now(bed, run)
    assert ended.state is RunState.UNKNOWN
    account = await bed.store.account(run.incident_id)
    assert account is not None
    assert "teleport.node" in account.incident.needs_person
