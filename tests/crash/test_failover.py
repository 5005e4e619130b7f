"""A standby that follows asynchronously takes over in the middle of runs; the judge is the target's own ledger."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import cast

import asyncpg
import pytest

from responder.act.actor import Actor, take_turn
from responder.cli.doctor_store import look_at_store
from responder.domain.errors import StoreError, Unavailable
from responder.domain.records import Record, RecordState
from responder.domain.runs import Run, RunState
from responder.ports.store import RunStore
from responder.settings import StoreSettings
from responder.stores.postgres import PostgresStore
from tests.act_bed import Bed, open_bed, playbook_text
from tests.bed import ledger, servers
from tests.bed.postgres import Postgres, private_cluster, standby_of
from tests.bed.processes import memory
from tests.bed.proxy import Mode, Proxy, proxied
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually

HELPING = playbook_text(verify="equals: 6", within="20s")
LONG = timedelta(seconds=60)


@dataclass
class Pair:
    """A primary with a standby, the wire between them, and the one address under which the responder reaches them."""

    primary: Postgres
    standby: Postgres
    wire: Proxy
    address: Proxy
    url: str

    async def caught_up(self) -> None:
        """Return when the standby has everything."""
        connection = await asyncpg.connect(self.primary.url)

        async def same() -> bool:
            query = "SELECT count(*) FROM pg_stat_replication WHERE flush_lsn >= pg_current_wal_flush_lsn()"
            return bool(await connection.fetchval(query))

        try:
            await eventually(same, LONG)
        finally:
            await connection.close()

    async def cut(self) -> None:
        """Let nothing reach the standby from here on: what is committed now will be lost."""
        await self.caught_up()
        await self.wire.switch(Mode.REFUSE)

    async def fail_over(self) -> None:
        """Lose the primary and promote the standby behind the same address."""
        assert self.primary.server is not None
        assert self.standby.server is not None
        self.primary.server.crash()
        await self.wire.switch(Mode.REFUSE)
        self.standby.server.promote()
        self.address.upstream = self.standby.server.port
        await self.address.switch(Mode.RESET)
        await self.address.switch(Mode.PASS)


@pytest.fixture
def primary() -> Iterator[Postgres]:
    try:
        with private_cluster(durable=True, within=memory()) as server:
            yield server
    except FileNotFoundError:
        servers.missing("PostgreSQL")


@pytest.fixture
async def pair(primary: Postgres) -> AsyncIterator[Pair]:
    async with proxied(primary.url) as wire, proxied(primary.url) as address:
        source = f"host=127.0.0.1 port={wire.port} user=responder"
        with standby_of(primary, source) as standby:
            yield Pair(primary, standby, wire, address, address.through(primary.url))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the clock often, and trust it again after two seconds instead of a minute."""
    monkeypatch.setattr("responder.stores.core.clock.SYNC_EVERY", timedelta(milliseconds=200))
    monkeypatch.setattr("responder.stores.core.clock.CALM", timedelta(seconds=2))


@asynccontextmanager
async def engine(url: str, target: Target, *playbooks_of: Bed) -> AsyncIterator[Bed]:
    """Open a responder's engine, with the playbooks of earlier ones."""
    bed = await open_bed(url, target.url)
    for other in playbooks_of:
        bed.playbooks.update(other.playbooks)
    try:
        yield bed
    finally:
        await bed.tools.close()
        await bed.store.close()


class Losing:
    """A store whose standby hears nothing from before ``call`` on; its primary is lost once an effect is settled."""

    def __init__(self, bed: Bed, pair: Pair, call: str) -> None:
        self._bed, self._pair, self._call = bed, pair, call
        self._cut = False

    def __getattr__(self, name: str) -> object:
        found = getattr(self._bed.store, name)
        if name not in {self._call, "settle"}:
            return found

        async def loses(*arguments: object) -> object:
            if name == self._call and not self._cut:
                self._cut = True
                await self._pair.cut()
            answer = await found(*arguments)
            # On a busy machine a permission may be too old to be used: then nothing was sent, and it is taken again.
            if name == "settle" and cast("Record", arguments[1]).state is RecordState.APPLIED:
                await self._pair.fail_over()
            return answer

        return loses


async def acted(bed: Bed, pair: Pair, lost_from: str) -> Run:
    """Take a run through its effect; what is committed from ``lost_from`` on is lost with the primary."""
    run = await bed.begin(HELPING)
    engine = replace(bed.engine, store=cast("RunStore", Losing(bed, pair, lost_from)))

    async def lost() -> bool:
        try:
            for one in await bed.store.claim_runs(1):
                await take_turn(engine, one)
        except StoreError:
            return True
        return False

    await eventually(lost, LONG, timedelta(milliseconds=50))
    return run


async def over(bed: Bed, run: Run) -> Run:
    """Take turns until the run is over, through whatever the store does meanwhile."""

    async def look() -> Run | None:
        try:
            for one in await bed.store.claim_runs(10):
                await take_turn(bed.engine, one)
            now = await bed.store.run(run.id)
        except StoreError:
            return None
        return now if now is not None and now.state.final else None

    found = await eventually(look, LONG, timedelta(milliseconds=50))
    assert found is not None
    return found


@pytest.fixture
def workers(target: Target) -> Target:
    target.resources["workers"] = {"workers": 4}
    return target


@pytest.mark.parametrize("lost_from", ["settle", "intend"])
async def test_an_effect_whose_commits_were_lost_is_not_made_again(pair: Pair, workers: Target, lost_from: str) -> None:
    """``settle``: the record is found as intended. ``intend``: it is gone, and the process writes it again."""
    async with engine(pair.url, workers) as bed:
        run = await acted(bed, pair, lost_from)
        assert len(ledger.effects(workers.ledger.entries)) == 1
        ended = await over(bed, run)
        assert ended.state is RunState.VERIFIED
        assert workers.resources["workers"] == {"workers": 6}
        assert len(ledger.effects(workers.ledger.entries)) == 1
        found = (await bed.store.page("records", {"run": run.id}, 10, "")).items
        # A permission that was too old to be used leaves a record, too: nothing was sent for it.
        assert [one["state"] for one in found if one["state"] != "not_applied"] == ["applied"]


async def test_what_no_process_remembers_is_left_to_a_person(pair: Pair, workers: Target) -> None:
    async with engine(pair.url, workers) as bed:
        run = await acted(bed, pair, "intend")
    # The test's engine met the new server while its turn ended; a process that died would not have.
    standby = await asyncpg.connect(pair.standby.url)
    try:
        await standby.execute("DELETE FROM records")
        await standby.execute("UPDATE meta SET value = '1/1' WHERE key = 'server'")
    finally:
        await standby.close()
    async with engine(pair.url, workers, bed) as successor:
        ended = await over(successor, run)
        assert ended.state is RunState.UNKNOWN
        again = await successor.begin(HELPING)
        await asyncio.sleep(2.5)  # until the clock is trusted again
        assert (await over(successor, again)).state is RunState.SKIPPED, "the target is in doubt"
        incident = await successor.store.account(ended.incident_id)
        assert incident is not None
        assert "nobody can tell" in incident.incident.needs_person
    assert len(ledger.effects(workers.ledger.entries)) == 1


async def test_another_server_voids_leases_and_is_told_and_the_old_one_is_not_gone_back_to(
    pair: Pair, workers: Target
) -> None:
    facts: list[str] = []

    def on_fact(name: str, **_: object) -> None:
        facts.append(name)

    async with engine(pair.url, workers) as bed:
        store = cast("PostgresStore", bed.store)
        store.listen(on_fact)
        await bed.begin(HELPING)
        (held,) = await store.claim_runs(1)
        await pair.caught_up()
        said = [str(finding) for finding in await look_at_store(StoreSettings(pair.url))]
        assert any("1 standby(s) follow asynchronously" in line for line in said), said
        await pair.fail_over()

        async def claimed() -> bool:
            try:
                return bool(await store.claim_runs(1))
            except Unavailable:
                return False

        await eventually(claimed, timedelta(seconds=10))
        with pytest.raises(StoreError, match="lease"):
            await store.save(held)
        assert "server_changed" in facts
        assert store.suspicion() is not None, "its clock is another machine's"

        assert pair.primary.server is not None
        pair.primary.server.start()
        pair.address.upstream = pair.primary.server.port
        await pair.address.switch(Mode.RESET)
        await pair.address.switch(Mode.PASS)

        async def refused() -> bool:
            try:
                await store.ping()
            except Unavailable as error:
                return "not gone back" in str(error)
            raise AssertionError("the old primary was written to")

        await eventually(refused, timedelta(seconds=10))


async def test_a_primary_lost_in_the_middle_of_many_runs_repeats_nothing(pair: Pair, target: Target) -> None:
    many = 40
    text = HELPING.replace("/admin/workers", "/admin/{{ labels.item }}").replace(
        "http/checkout/workers", "http/checkout/{{ labels.item }}"
    )
    for number in range(many):
        target.resources[f"item-{number}"] = {"workers": 4}
    async with engine(pair.url, target) as bed:
        runs = [
            await bed.begin(text, target=f"http/checkout/item-{number}", item=f"item-{number}")
            for number in range(many)
        ]
        actor = Actor(bed.engine)
        stop = asyncio.Event()

        async def work() -> None:
            while not stop.is_set():
                try:
                    await actor.turn()
                except StoreError:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.01)

        working = asyncio.create_task(work())
        await eventually(lambda: len(ledger.effects(target.ledger.entries)) >= many // 4, LONG)
        await pair.wire.switch(Mode.REFUSE)  # and the standby falls behind
        await eventually(lambda: len(ledger.effects(target.ledger.entries)) >= many // 2, LONG)
        await pair.fail_over()

        async def all_over() -> bool:
            try:
                return all([(found := await bed.store.run(run.id)) and found.state.final for run in runs])
            except StoreError:
                return False

        await eventually(all_over, timedelta(seconds=90), timedelta(milliseconds=200))
        stop.set()
        await working
        await actor.drain()
    for number in range(many):
        made = ledger.effects(target.ledger.entries, f"item-{number}")
        assert len(made) <= 1, (number, made)
    assert ledger.twice(target.ledger.entries) == []
