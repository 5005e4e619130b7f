"""Bringing the schema up to date, from inside the program: the migrations travel in the package."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from responder.domain.errors import SettingsError

_MIGRATIONS = Path(__file__).parents[1] / "migrations"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """Return the migration that this version of the program wants."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def current(connection: Connection) -> str:
    """Return the migration that the database is at, empty when it holds no schema."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def upgrade(connection: Connection) -> None:
    """Bring the schema to ``head``; raises SettingsError when a newer version of the program was here."""
    known = ScriptDirectory.from_config(_config())
    here = current(connection)
    if here == known.get_current_head():
        return
    if here and here not in {script.revision for script in known.walk_revisions()}:
        msg = f"store: the schema is at {here!r}, which this version does not know: a newer responder wrote it"
        raise SettingsError(msg)
    command.upgrade(_config(connection), "head")
