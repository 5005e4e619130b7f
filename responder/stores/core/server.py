"""Which PostgreSQL server a connection leads to: a standby that was promoted has another timeline."""

from dataclasses import dataclass

import asyncpg

from responder.domain.errors import Unavailable

SERVER = "server"
"""The key in ``meta`` under which the store keeps which server it was on last."""
# Every role may call these functions (PostgreSQL 15, pg_proc.proacl is null). The control file's own timeline is that
# of the last checkpoint, which a promotion does not wait for: the name of the file that is written now is up to date.
_IDENTIFY = """\
SELECT system_identifier::text AS system, pg_is_in_recovery() AS standby,
  CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline
FROM pg_control_system()"""


@dataclass(frozen=True, slots=True)
class Server:
    """A cluster and the timeline that it writes."""

    system: str
    timeline: int

    def __str__(self) -> str:
        """Return it as it is kept."""
        return f"{self.system}/{self.timeline}"

    def precedes(self, other: "Server") -> bool:
        """Say whether ``other`` was promoted after this one, and must not be gone back from."""
        return self.system == other.system and self.timeline < other.timeline


async def identify(connection: "asyncpg.Connection[asyncpg.Record]", seen: Server | None) -> Server | None:
    """Say which server it is, None when it does not tell.

    Raises Unavailable for one that only follows another, and for one that was left for ``seen``: an old primary.
    """
    try:
        row = await connection.fetchrow(_IDENTIFY)
    except asyncpg.PostgresError as error:
        if isinstance(error, asyncpg.InsufficientPrivilegeError | asyncpg.FeatureNotSupportedError):
            return None  # a managed service may keep this to itself; doctor says so
        raise Unavailable(f"the store's server cannot be told: {error}") from error
    if row is None:
        return None
    if row["standby"]:
        raise Unavailable("the store's server is a standby: it cannot be written to until it is promoted")
    server = Server(row["system"], int(row["timeline"], 16))
    if seen is not None and server.precedes(seen):
        raise Unavailable(f"the store's server {server} was left for {seen}, which is not gone back on")
    return server
