"""Bringing the schema up to date, from inside the program: the migrations travel in the package."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, delete, insert, select

from responder.domain.errors import SettingsError
from responder.stores.schema import meta

_OLDEST = "schema_serves"
"""The key in ``meta`` under which stands the oldest program that works on the schema, by its newest migration."""
MIGRATIONS = Path(__file__).parents[1] / "migrations"
"""Where the migrations are."""


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """Return the migration that this version of the program wants."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def current(connection: Connection) -> str:
    """Return the migration that the database is at, empty when it holds no schema."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def upgrade(connection: Connection) -> None:
    """Bring the schema to ``head``, or leave it as a newer version of the program made it.

    Raises SettingsError when this version cannot work on what the newer one made.
    """
    known = ScriptDirectory.from_config(_config())
    here, ours = current(connection), known.get_current_head() or ""
    if here == ours:
        return
    scripts = {script.revision: script for script in known.walk_revisions()}
    if here and here not in scripts:
        serves = connection.scalar(select(meta.c.value).where(meta.c.key == _OLDEST))
        if serves is None or ours < serves:
            msg = (
                f"store: the schema is at {here!r}, which this version does not know: a newer responder wrote it"
                f"{f', for programs from {serves!r} on; this one is at {ours!r}' if serves else ''}"
            )
            raise SettingsError(msg)
        return
    command.upgrade(_config(connection), "head")
    oldest = max(getattr(script.module, "oldest", "") for script in scripts.values())
    connection.execute(delete(meta).where(meta.c.key == _OLDEST))
    connection.execute(insert(meta).values(key=_OLDEST, value=oldest))
