"""Bringing the schema up to date, from inside the program: the migrations travel in the package.

Alembic is imported by who has something to bring up to date: at a start after a crash, every look waits for it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, column, delete, insert, inspect, select, table

from responder.domain.errors import SettingsError
from responder.stores.schema import meta

if TYPE_CHECKING:
    from alembic.config import Config

_OLDEST = "schema_serves"
"""The key in ``meta`` under which stands the oldest program that works on the schema, by its newest migration."""
MIGRATIONS = Path(__file__).parents[1] / "migrations"
"""Where the migrations are."""


_VERSION = table("alembic_version", column("version_num"))
"""Where Alembic keeps what the database is at."""


def _config(connection: Connection | None = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """Return the migration that this version of the program wants: the last one by its file's name."""
    return max((file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py")), default="")


def current(connection: Connection) -> str:
    """Return the migration that the database is at, empty when it holds no schema."""
    if not inspect(connection).has_table(_VERSION.name):
        return ""
    return connection.scalar(select(_VERSION.c.version_num)) or ""


def upgrade(connection: Connection) -> None:
    """Bring the schema to ``head``, or leave it as a newer version of the program made it.

    Raises SettingsError when this version cannot work on what the newer one made.
    """
    here, ours = current(connection), head()
    if here == ours:
        return
    from alembic import command
    from alembic.script import ScriptDirectory

    scripts = {script.revision: script for script in ScriptDirectory.from_config(_config()).walk_revisions()}
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
