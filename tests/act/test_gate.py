"""Many runs of one playbook at once: the store lets them pass one by one, and no permission grows old meanwhile."""

import asyncio
from dataclasses import replace

from responder.act.actor import take_turn
from responder.domain.limits import Refusal
from responder.domain.records import Record, RecordState
from responder.domain.runs import Run
from responder.ports.store import Authority
from tests.act_bed import Bed, Wall, playbook_text
from tests.bed.target_peer import Target

RUNS = 6
SECONDS_EACH = 0.3
"""Two fit into the 0.7 s between a permission and its use, six do not."""


class Hands(Wall):
    """A clock that moves when it is told to."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class OneByOne:
    """A store that takes its time over each permission, one after the other."""

    def __init__(self, bed: Bed, clock: Hands) -> None:
        self._store = bed.store
        self._clock = clock
        self._alone = asyncio.Lock()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def intend(self, run: Run, record: Record, authority: Authority) -> Refusal | None:
        async with self._alone:
            self._clock.seconds += SECONDS_EACH
            return await self._store.intend(run, record, authority)


async def test_permissions_that_queue_are_not_too_old_when_their_turn_comes(bed: Bed, target: Target) -> None:
    target.settings.etags = False  # they share a resource, and may: this is about when each is sent
    begun = [await bed.begin(playbook_text(), target=f"http/checkout/{number}") for number in range(RUNS)]
    clock = Hands(bed.store)
    slow: object = OneByOne(bed, clock)
    engine = replace(bed.engine, store=slow, clock=clock)  # type: ignore[arg-type] # it hands on what it does not change
    claimed = await bed.store.claim_runs(RUNS)
    await asyncio.gather(*(take_turn(engine, run) for run in claimed))
    for run in begun:
        account = await bed.store.account(run.incident_id)
        assert account is not None
        assert [record.state for record in account.records] == [RecordState.APPLIED]
