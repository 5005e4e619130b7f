"""A service that hangs holds up the runs on it, and no others."""

import asyncio
from datetime import timedelta
from pathlib import Path

from responder.act.actor import BULKHEAD, CLAIM, Actor
from responder.domain.runs import RunState
from tests.act_bed import open_bed, playbook_text
from tests.bed import target_peer
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually


async def test_a_service_that_hangs_does_not_hold_up_another(tmp_path: Path, target: Target) -> None:
    target.fault("hang", times=10 * CLAIM, on="any")
    async with target_peer.target() as well:
        well.resources["workers"] = {"workers": 4}
        store = f"sqlite:///{tmp_path}/responder.db"
        bed = await open_bed(store, target.url, other_url=well.url, patience=timedelta(seconds=8))
        actor = Actor(bed.engine)

        async def act() -> None:
            while True:
                await actor.turn()
                await asyncio.sleep(0)

        try:
            for number in range(2 * CLAIM):
                await bed.begin(playbook_text(), target=f"http/checkout/{number}")
            acting = asyncio.create_task(act())
            await eventually(lambda: len(actor._slow()) == CLAIM)
            run = await bed.begin(playbook_text().replace("checkout", "other"), target="http/other/workers")

            async def verified() -> bool:
                found = await bed.store.run(run.id)
                return found is not None and found.state is RunState.VERIFIED

            await eventually(verified)
            assert len(actor._slow()) == CLAIM, "all others hang still: it did not have to wait for one of them"
            acting.cancel()
            await asyncio.wait([acting])
            await actor.drain()
        finally:
            await bed.tools.close()
            await bed.store.close()


async def test_nothing_more_is_begun_on_a_connection_that_hangs(tmp_path: Path, target: Target) -> None:
    target.fault("hang", times=10 * CLAIM, on="any")
    bed = await open_bed(f"sqlite:///{tmp_path}/responder.db", target.url)
    actor = Actor(bed.engine)
    try:
        for number in range(2 * CLAIM):
            await bed.begin(playbook_text(), target=f"http/checkout/{number}")
        assert await actor.turn() == CLAIM
        await eventually(lambda: len(actor._slow()) >= BULKHEAD)
        assert await actor.turn() == 0
        await actor.drain()
    finally:
        await bed.tools.close()
        await bed.store.close()
