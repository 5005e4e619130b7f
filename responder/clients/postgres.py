"""PostgreSQL as a target: asked and changed over few sessions, with short deadlines and without a single retry.

A change goes out on a session that holds the advisory lock of its effect. Whoever takes the effect up again waits for
that lock, and ends a session that does not let go of it: what it had sent is done by then, or never will be.
"""

import asyncio
import contextlib
import copy
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg

from responder.domain.errors import Permanent, StepError, Temporary, Uncertain
from responder.ports.tools import Gate, Row

if TYPE_CHECKING:  # generic in its stubs only
    from asyncpg.pool import PoolConnectionProxy

    _Connection = PoolConnectionProxy[asyncpg.Record]

NAME = "responder"
"""The ``application_name`` of our sessions: what everybody's list of sessions shows."""
CONNECTIONS = 3
LOCK_SECONDS = 1.0
"""How long a lock of a session given up is waited for before that session is ended, and then again."""
STORE_TABLES = ("episodes", "incidents", "ledger", "outbox", "quarantines", "run_episodes")
"""Tables that tell a responder's store from anybody else's database."""
_IS_STORE = "SELECT count(DISTINCT relname) FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p') AND relname = ANY($1)"
_TRY = "SELECT pg_catalog.pg_try_advisory_lock($1)"
_END_HOLDER = """\
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid <> pg_catalog.pg_backend_pid()
  AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND (classid::bigint << 32) | objid::bigint = $1"""
_BUSY = ("40", "53", "55", "57")
"""Classes of SQLSTATE that pass: conflicts, lack of resources, locks, an operator's doing (PostgreSQL, appendix A)."""
_ENDED = ("57P01", "57P02", "57P03")
_UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # how it says that a connection broke while it was changing its mind
    asyncpg.PostgresConnectionError,
)


class PostgresClient:
    """A configured PostgreSQL (``ports.tools.Postgres``)."""

    def __init__(
        self,
        name: str,
        dsn: str,
        *,
        timeout: timedelta = timedelta(seconds=5),
        parameters: frozenset[str] | None = None,
    ) -> None:
        """``timeout`` bounds each wait: for a session, for an answer. Made in a running loop."""
        self.parameters = parameters
        self._name = name
        self._gate: Gate | None = None
        self._seconds = timeout.total_seconds()
        self._opening = asyncio.Lock()
        self._pool = asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=CONNECTIONS,
            timeout=self._seconds,
            command_timeout=self._seconds,
            statement_cache_size=0,  # a pooler in between may give the next statement to another session
            server_settings={"application_name": NAME},
            init=self._not_our_store,
        )

    async def close(self) -> None:
        """Give the sessions back."""
        with contextlib.suppress(asyncpg.InterfaceError):  # it was never used
            self._pool.terminate()

    def behind(self, gate: Gate) -> "PostgresClient":
        """See ``ports.tools.Postgres.behind``."""
        gated = copy.copy(self)
        gated._gate = gate  # noqa: SLF001 - our own copy, with the same sessions
        return gated

    async def read(self, statement: str, *values: object) -> Sequence[Row]:
        """See ``ports.tools.Postgres.read``."""
        async with self._session() as session:
            return await session.read(statement, *values)

    @contextlib.asynccontextmanager
    async def fenced(self, key: str) -> AsyncIterator["Session"]:
        """See ``ports.tools.Postgres.fenced``."""
        lock = int.from_bytes(hashlib.sha256(f"{NAME}:{key}".encode()).digest()[:8], signed=True)
        async with self._session() as session:
            if not await self._locked(session, lock):
                await session.read(_END_HOLDER, lock)
                if not await self._locked(session, lock):
                    raise Temporary(f"{self._name}: an earlier session of this effect does not end")
            yield session

    async def _locked(self, session: "Session", lock: int) -> bool:
        until = time.monotonic() + LOCK_SECONDS
        while True:
            ((got,),) = [list(row.values()) for row in await session.read(_TRY, lock)]
            if got:
                return True
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.05)

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator["Session"]:
        """Give a session; one on which anything went wrong, or was given up, is not used again."""
        connection = await self._connect()
        session = Session(self._name, connection, self._gate)
        clean = False
        try:
            yield session
            clean = session.sound
        finally:
            if not clean:
                with contextlib.suppress(asyncpg.InterfaceError):  # it broke, and the pool has dropped it
                    connection.terminate()
            # Whatever it did is done: that it cannot be given back in order changes nothing for its caller.
            with contextlib.suppress(asyncpg.PostgresError, *_UNREACHABLE):
                await self._pool.release(connection, timeout=self._seconds)

    async def _connect(self) -> "_Connection":
        try:
            async with self._opening:
                await self._pool
            connection: _Connection = await self._pool.acquire(timeout=self._seconds)
        except asyncpg.PostgresError as error:
            raise _refused(self._name, error) from error
        except (ValueError, asyncpg.ClientConfigurationError) as error:
            raise Permanent(f"{self._name}: its dsn cannot be used") from error
        except _UNREACHABLE as error:
            raise Temporary(f"{self._name} cannot be reached: {_plain(error)}") from error
        return connection

    async def _not_our_store(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        if await connection.fetchval(_IS_STORE, list(STORE_TABLES)) == len(STORE_TABLES):
            raise Permanent(f"{self._name} is the database of a responder's store: it is never a target")


class Session:
    """One session, for one reader or one effect (``ports.tools.PostgresSession``)."""

    def __init__(self, name: str, connection: "_Connection", gate: Gate | None) -> None:
        """``name`` is the target's in messages."""
        self.sound = True
        self._name = name
        self._connection = connection
        self._gate = gate

    async def read(self, statement: str, *values: object) -> Sequence[Row]:
        """See ``ports.tools.PostgresSession.read``."""
        self.sound = False
        try:
            rows = await self._connection.fetch(statement, *values)
        except asyncpg.PostgresError as error:
            raise _refused(self._name, error) from error
        except asyncpg.DataError as error:
            raise Permanent(f"{self._name}: {_plain(error)}") from error
        except _UNREACHABLE as error:
            raise Temporary(f"{self._name}: no answer: {_plain(error)}") from error
        self.sound = True
        return [dict(row) for row in rows]

    async def change(self, statement: str, *values: object, certain: bool = True) -> Sequence[Row]:
        """See ``ports.tools.PostgresSession.change``."""
        if self._gate is not None:
            await self._gate()
        self.sound = False
        try:
            if values:
                rows = [dict(row) for row in await self._connection.fetch(statement, *values)]
            else:
                # The simple protocol: one message and one answer, as what is no query and stands alone needs it.
                rows = []
                await self._connection.execute(statement)
        except asyncpg.PostgresConnectionError as error:
            raise Uncertain(f"{self._name}: no answer: {_plain(error)}") from error
        except asyncpg.PostgresError as error:
            if not certain or error.sqlstate in _ENDED:
                raise Uncertain(f"{self._name}: {_plain(error)}") from error
            raise _refused(self._name, error) from error
        except _UNREACHABLE as error:
            raise Uncertain(f"{self._name}: no answer: {_plain(error)}") from error
        self.sound = True
        return rows


def _refused(name: str, error: asyncpg.PostgresError) -> StepError:
    """Return what an error of the server says that certainly left everything as it was."""
    passing = isinstance(error, asyncpg.PostgresConnectionError) or (error.sqlstate or "")[:2] in _BUSY
    return (Temporary if passing else Permanent)(f"{name}: {_plain(error)}")


def _plain(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
