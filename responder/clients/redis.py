"""Redis as a target: asked and changed over few connections, with short deadlines and without a single retry.

A change goes out on a connection of its own that bears the name of the effect. Whoever takes the effect up again first
disconnects every connection with that name: what it had sent is done by then, or never will be. ``MULTI`` with a
watched key would say the same in one step, but a Redis that is full refuses every ``MULTI`` (decision 0025).
"""

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import TimeoutError as TooLong

from responder.domain.errors import Permanent, StepError, Temporary, Uncertain
from responder.ports.tools import Gate, Reply

NAME = "responder"
CONNECTIONS = 4
Command = Sequence[str | int]
_LOST = (Broken, TooLong, OSError, TimeoutError, asyncio.IncompleteReadError)


class RedisClient:
    """A configured Redis (``ports.tools.Redis``)."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        password: str | None = None,
        timeout: timedelta = timedelta(seconds=3),
        parameters: frozenset[str] | None = None,
    ) -> None:
        """``timeout`` bounds each wait: for a connection, for an answer."""
        self.parameters = parameters
        self._name = name
        self._gate: Gate | None = None
        seconds = timeout.total_seconds()
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=seconds,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # answers have one shape then, whatever the server speaks
            decode_responses=True,
            encoding_errors="surrogateescape",
            client_name=NAME,
            **({} if password is None else {"password": password}),
        )

    async def close(self) -> None:
        """Give the connections back."""
        with contextlib.suppress(RedisError, OSError):
            await self._pool.disconnect()

    def behind(self, gate: Gate) -> "RedisClient":
        """See ``ports.tools.Redis.behind``."""
        gated = copy.copy(self)
        gated._gate = gate  # noqa: SLF001 - our own copy, with the same connections
        return gated

    async def read(self, *command: str | int) -> Reply:
        """See ``ports.tools.Redis.read``."""
        async with self._session() as session:
            return await session.read(*command)

    @contextlib.asynccontextmanager
    async def fenced(self, key: str) -> AsyncIterator["Session"]:
        """See ``ports.tools.Redis.fenced``."""
        name = f"{NAME}:{key}"
        async with self._session() as session:
            # Its own name first: two that come at once end each other rather than both going on.
            await session.read("CLIENT", "SETNAME", name)
            own = await session.read("CLIENT", "ID")
            for client in clients(await session.read("CLIENT", "LIST")):
                if client.get("name") == name and client.get("id") != str(own):
                    await session.read("CLIENT", "KILL", "ID", client["id"])
            yield session
            with contextlib.suppress(StepError):
                await session.read("CLIENT", "SETNAME", NAME)

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator["Session"]:
        """Give a connection; one on which anything went wrong, or was given up, is not used again."""
        try:
            connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # theirs
        except (AuthenticationError, ResponseError) as error:
            raise _refused(self._name, error) from error
        except _LOST as error:
            raise Temporary(f"{self._name} cannot be reached: {_plain(error)}") from error
        session = Session(self._name, connection, self._gate)
        clean = False
        try:
            yield session
            clean = session.sound
        finally:
            if not clean:
                with contextlib.suppress(RedisError, OSError):
                    await connection.disconnect(nowait=True)
            await self._pool.release(connection)


class Session:
    """One connection, for one reader or one effect (``ports.tools.RedisSession``)."""

    def __init__(self, name: str, connection: AbstractConnection, gate: Gate | None) -> None:
        """``name`` is the target's in messages."""
        self.sound = True
        self._name = name
        self._connection = connection
        self._gate = gate

    async def read(self, *command: str | int) -> Reply:
        """See ``ports.tools.RedisSession.read``."""
        (answer,) = await self._exchange([command], Temporary)
        if isinstance(answer, ResponseError):
            raise _refused(self._name, answer) from answer
        return answer

    async def change(self, *commands: Command) -> Sequence[Reply]:
        """See ``ports.tools.RedisSession.change``."""
        if self._gate is not None:
            await self._gate()
        answers = await self._exchange(commands, Uncertain)
        for place, answer in enumerate(answers):
            if isinstance(answer, ResponseError):
                if place:
                    raise Uncertain(f"{self._name}: {_plain(answer)}") from answer
                raise _refused(self._name, answer) from answer
        return answers

    async def _exchange(self, commands: Sequence[Command], lost: type[StepError]) -> list[Reply]:
        self.sound = False  # until every answer was read: also when this is cancelled
        try:
            await self._connection.send_packed_command(self._connection.pack_commands(commands))
            answers = [await self._answer() for _ in commands]
        except _LOST as error:
            raise lost(f"{self._name}: no answer to {commands[0][0]}: {_plain(error)}") from error
        self.sound = True
        return answers

    async def _answer(self) -> Reply:
        try:
            answer: Reply = await self._connection.read_response()
        except ResponseError as error:
            return error
        return answer


def _refused(name: str, error: Exception) -> StepError:
    """Return what an error says that certainly left everything as it was."""
    kind = Temporary if isinstance(error, BusyLoadingError | OutOfMemoryError | ReadOnlyError) else Permanent
    return kind(f"{name}: {_plain(error)}")


def clients(reply: Reply) -> list[dict[str, str]]:
    """Read the lines of CLIENT LIST."""
    lines = str(reply).splitlines()
    return [dict(field.partition("=")[::2] for field in line.split(" ") if "=" in field) for line in lines]


def _plain(error: Exception) -> str:
    return str(error) or type(error).__name__
