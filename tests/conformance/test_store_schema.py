"""The migrations lead to the schema that the code has in mind."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from responder.domain.errors import SettingsError
from responder.stores.core import migrate
from responder.stores.core.database import Order
from responder.stores.core.store import SqlStore
from responder.stores.registry import open_store
from responder.stores.schema import metadata

_INDEXES = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
}
_COLUMNS = (
    "SELECT table_name || '.' || column_name, concat_ws(' ', data_type, collation_name, is_nullable, column_default) "
    "FROM information_schema.columns WHERE table_schema = 'public'"
)


def _definitions(connection: Connection) -> Mapping[str, str]:
    queries = [_INDEXES[connection.dialect.name]]
    if connection.dialect.name == "postgresql":
        queries.append(_COLUMNS)
    return {
        name: re.sub(r"\s+", " ", definition).replace('"', "")
        for query in queries
        for name, definition in connection.execute(text(query)).all()
        if not name.startswith("alembic_version")
    }


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


def _rebuilt(connection: Connection) -> Mapping[str, str]:
    metadata.drop_all(connection)
    metadata.create_all(connection)
    return _definitions(connection)


async def test_the_migrations_make_exactly_the_schema(store: SqlStore) -> None:
    async with store.db.writing(Order.CONTROL) as tx:
        assert await tx.run_sync(_differences) == []
        migrated = await tx.run_sync(_definitions)
        assert migrated == await tx.run_sync(_rebuilt)
        assert len(migrated) > 30


async def test_a_store_knows_its_migration_and_migrates_once(store: SqlStore, store_url: str) -> None:
    assert await store.schema_version() == migrate.head()
    await store.close()
    again = open_store(store_url)
    await again.open()
    assert await again.schema_version() == migrate.head()
    await again.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "responder.db", ""])
def test_a_url_that_is_not_a_store_is_said_to_be_one(url: str) -> None:
    with pytest.raises(SettingsError, match="store"):
        open_store(url)


def test_every_migration_is_packaged() -> None:
    versions = Path(migrate.__file__).parents[1] / "migrations" / "versions"
    assert sorted(one.name for one in versions.glob("*.py")) == [
        "0001_first_schema.py",
        "0002_held_pages.py",
        "0003_ends_by_playbook.py",
        "0004_what_the_sender_shows.py",
        "0005_four_eyes.py",
        "0006_causes.py",
        "0007_audit_segments.py",
        "0008_holders.py",
        "0009_formats.py",
        "0010_kept_changes.py",
        "0011_asked_by_run.py",
        "0014_digests.py",
        "0015_findings.py",
        "0016_reservations.py",
    ]
    assert ScriptDirectory(str(migrate.MIGRATIONS)).get_current_head() == migrate.head()
