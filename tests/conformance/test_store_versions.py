"""Two versions over one store: a newer one may have written rows and migrated, and an older one goes on beside it."""

import io
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script, ScriptDirectory
from sqlalchemy import text, update

from responder.domain.errors import SettingsError, Unavailable
from responder.domain.runs import FORMAT, Run, RunState
from responder.ports.store import LEASE, MAX_ATTEMPTS, UNCLAIMED_AFTER
from responder.stores.core import migrate
from responder.stores.core.database import Order
from responder.stores.core.store import SqlStore
from responder.stores.registry import open_store
from responder.stores.schema import runs
from tests.conformance.building import acting, advance, by_id, claimed, started

PAGE = "console:"
MOMENT = timedelta(seconds=2)


async def _written_by_a_newer_one(store: SqlStore, *which: Run, **changes: Any) -> None:  # noqa: ANN401 - any column
    """Leave rows as a program of the next format would."""
    ids = [one.id for one in which]
    async with store.db.writing(Order.CONTROL) as tx:
        await tx.execute(update(runs).where(runs.c.id.in_(ids)).values(format=FORMAT + 1, lease_until=None, **changes))


async def _waiting(store: SqlStore, *, tell: Sequence[str] = (), target: str = "http/checkout") -> Run:
    one = await started(store, tell=tell, target=target)
    await store.save(one)
    return one


async def test_a_newer_row_is_left_to_newer_programs(store: SqlStore) -> None:
    theirs, ours = await _waiting(store), await _waiting(store, target="http/other")
    await _written_by_a_newer_one(store, theirs, state="meditating", verdict="insight")
    assert [one.id for one in await store.claim_runs(10)] == [ours.id]


async def test_whoever_writes_a_row_says_in_which_format(store: SqlStore) -> None:
    one = await _waiting(store)
    async with store.db.writing(Order.CONTROL) as tx:
        await tx.execute(update(runs).values(format=FORMAT - 1))
    await store.save(await claimed(store, one.id))
    async with store.db.reading() as tx:
        assert await tx.scalar(runs.select().with_only_columns(runs.c.format)) == FORMAT


async def test_a_newer_row_is_neither_set_aside_nor_answered_for(store: SqlStore) -> None:
    theirs = await _waiting(store)
    await _written_by_a_newer_one(store, theirs, state="meditating", attempts=MAX_ATTEMPTS)
    assert await store.set_aside() == []
    with pytest.raises(Unavailable, match="newer"):
        await store.run(theirs.id)


async def test_messages_about_newer_rows_are_left_to_newer_programs(store: SqlStore) -> None:
    theirs = await _waiting(store, tell=[PAGE])
    ours = await _waiting(store, tell=[PAGE], target="http/other")
    await _written_by_a_newer_one(store, theirs, state="meditating")
    advance(store, MOMENT)
    assert [item.incident_id for item in await store.claim_outbox(10, [])] == [ours.incident_id]
    account = await store.account(theirs.incident_id)
    assert account is not None
    assert account.runs == ()


async def test_decide_lets_least_happen_beside_a_newer_run(store: SqlStore) -> None:
    theirs, over = await acting(store), await acting(store, target="http/other")
    await _written_by_a_newer_one(store, theirs, state="meditating")
    await _written_by_a_newer_one(store, over, state="enlightened", finished_at=store.now(), acted=True)
    async with store.slice() as slice_:
        facts = await slice_.runs_near([theirs.target, over.target], [], store.now() - LEASE)
    assert {fact.id: fact.state for fact in facts} == {theirs.id: RunState.ACTING, over.id: RunState.UNKNOWN}


async def test_a_person_is_asked_when_no_newer_program_comes(store: SqlStore) -> None:
    theirs = await _waiting(store)
    await _written_by_a_newer_one(store, theirs, due_at=store.now())
    advance(store, UNCLAIMED_AFTER - timedelta(seconds=1))
    assert await store.report_unclaimed([PAGE]) == 0
    advance(store, timedelta(seconds=1))
    for _ in range(2):
        assert await store.report_unclaimed([PAGE]) == 1
    advance(store, MOMENT)
    asking = [one for one in (await by_id(store, "incidents")).values() if "newer version" in one["needs_person"]]
    assert len(asking) == 1, "once, however often it is found"
    assert asking[0]["id"] in [item.incident_id for item in await store.claim_outbox(10, [])]


async def test_nobody_is_asked_while_a_newer_program_is_at_work(store: SqlStore) -> None:
    theirs = await _waiting(store)
    await _written_by_a_newer_one(store, theirs)
    advance(store, UNCLAIMED_AFTER + MOMENT)
    async with store.db.writing(Order.CONTROL) as tx:
        await tx.execute(update(runs).values(lease_until=store.now() + LEASE))
    assert await store.report_unclaimed([PAGE]) == 0


async def _migrated_by_a_newer_one(store: SqlStore, oldest: str) -> None:
    async with store.db.writing(Order.CONTROL) as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        await tx.execute(text("UPDATE meta SET value = :oldest WHERE key = 'schema_serves'"), {"oldest": oldest})


async def test_a_newer_schema_that_serves_older_programs_is_used_as_it_is(store: SqlStore, store_url: str) -> None:
    await _migrated_by_a_newer_one(store, migrate.head())
    await store.close()
    again = open_store(store_url)
    await again.open()
    assert await again.schema_version() == "9999"
    await again.ping()
    await again.close()


async def test_a_newer_schema_that_does_not_is_refused(store: SqlStore, store_url: str) -> None:
    await _migrated_by_a_newer_one(store, "9998")
    await store.close()
    with pytest.raises(SettingsError, match=f"9999.*9998.*{migrate.head()}"):
        await open_store(store_url).open()


# --- what a migration may do while older replicas run ---------------------------------------------------------------

_FROM_HERE = "0008"
"""Before this one no older program is served, whatever a migration does."""
_CONTRACTS: frozenset[str] = frozenset()
"""Migrations that break on purpose what releases before their ``oldest`` need."""
_HARMLESS = (
    re.compile(r"CREATE TABLE \w+ \("),
    re.compile(r"ALTER TABLE \w+ ADD COLUMN \w+ (?!.*NOT NULL)"),
    re.compile(r"ALTER TABLE \w+ ADD COLUMN \w+ .*DEFAULT .*NOT NULL"),
)
_INDEX = re.compile(r"CREATE (UNIQUE )?INDEX \w+ ON (\w+) ")


def _breaking(statements: str) -> list[str]:
    """Return those of a migration's statements that a program which does not know them may not survive."""
    every = [" ".join(one.split()) for one in statements.split(";") if one.strip()]
    made = {one.split()[2] for one in every if one.startswith("CREATE TABLE")}
    found = []
    for one in every:
        index = _INDEX.match(one)
        harmless = index is not None and (not index[1] or index[2] in made)
        if not harmless and not any(kind.match(one) for kind in _HARMLESS):
            found.append(one)
    return found


def _statements(script: Script) -> str:
    buffer = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": buffer, "literal_binds": True}
    )
    with Operations.context(context):
        script.module.upgrade()
    return buffer.getvalue()


def test_migrations_leave_older_replicas_running_or_say_from_which_on() -> None:
    scripts = [one for one in ScriptDirectory(str(migrate.MIGRATIONS)).walk_revisions() if one.revision >= _FROM_HERE]
    assert len(scripts) >= 2
    for script in scripts:
        assert _statements(script).strip(), script.revision
        if script.revision in _CONTRACTS:
            assert script.module.oldest <= script.revision, "say from which release on the schema serves"
        else:
            assert _breaking(_statements(script)) == [], script.revision


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE runs",
        "ALTER TABLE runs DROP COLUMN depth",
        "ALTER TABLE runs RENAME depth TO generation",
        "ALTER TABLE runs RENAME TO executions",
        "ALTER TABLE runs ALTER COLUMN depth TYPE TEXT",
        "ALTER TABLE runs ALTER COLUMN reason SET NOT NULL",
        "ALTER TABLE runs ADD COLUMN mood TEXT NOT NULL",
        "ALTER TABLE runs ADD CONSTRAINT one CHECK (depth < 3)",
        "CREATE UNIQUE INDEX uq_runs_target ON runs (target)",
        "DROP INDEX ix_runs_due",
        "UPDATE runs SET state = 'x'",
    ],
)
def test_what_an_older_replica_would_not_survive_is_found(statement: str) -> None:
    assert _breaking(f"{statement};") == [statement]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE moods (id TEXT NOT NULL); CREATE UNIQUE INDEX uq_moods ON moods (id)",
        "CREATE INDEX ix_runs_mood ON runs (mood)",
        "ALTER TABLE runs ADD COLUMN mood TEXT",
        "ALTER TABLE runs ADD COLUMN mood TEXT DEFAULT '' NOT NULL",
    ],
)
def test_what_an_older_replica_does_not_notice_is_allowed(statement: str) -> None:
    assert _breaking(f"{statement};") == []
