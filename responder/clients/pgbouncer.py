"""PgBouncer's console: asked and changed by PostgreSQL's simple query protocol, the only one that it takes.

Of that asyncpg gives no rows, so the few messages are written here (PostgreSQL, chapter 55: message flow and formats;
SCRAM is RFC 5802). A connection is made for each question; it is not encrypted: the console belongs on the same machine
or a private network.
"""

import asyncio
import base64
import contextlib
import copy
import hashlib
import hmac
import secrets
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from urllib.parse import unquote, urlsplit

from responder.domain.errors import Permanent, Temporary, Uncertain
from responder.ports.tools import Gate

PROTOCOL = 196_608
"""3.0, as the startup message has it."""
PORT = 6432
DATABASE = "pgbouncer"
"""The console's name."""
MOST_BYTES = 1024 * 1024
_OK, _PLAIN, _MD5, _SASL, _CONTINUE, _FINAL = 0, 3, 5, 10, 11, 12
_LOST = (OSError, TimeoutError, asyncio.IncompleteReadError)


class Refused(Exception):
    """The console answered with an error."""


class PgbouncerClient:
    """A configured console (``ports.pooler.Pooler``)."""

    def __init__(self, name: str, dsn: str, *, timeout: timedelta = timedelta(seconds=5)) -> None:
        """``timeout`` bounds a question with its answer."""
        self._name = name
        parts = urlsplit(dsn)
        self._address = parts.hostname or "127.0.0.1", parts.port or PORT
        self._user, self._password = unquote(parts.username or "pgbouncer"), unquote(parts.password or "")
        self._seconds = timeout.total_seconds()
        self._gate: Gate | None = None

    def behind(self, gate: Gate) -> "PgbouncerClient":
        """See ``ports.pooler.Pooler.behind``."""
        gated = copy.copy(self)
        gated._gate = gate  # noqa: SLF001 - our own copy
        return gated

    async def read(self, statement: str) -> Sequence[Mapping[str, str]]:
        """See ``ports.pooler.Pooler.read``."""
        try:
            async with asyncio.timeout(self._seconds), self._session() as session:
                return await session.query(statement)
        except Refused as error:
            raise Permanent(f"{self._name}: {error}") from error
        except _LOST as error:
            raise Temporary(f"{self._name} cannot be asked: {str(error) or 'timed out'}") from error

    async def change(self, statement: str) -> None:
        """See ``ports.pooler.Pooler.change``."""
        sent = False
        try:
            async with asyncio.timeout(self._seconds), self._session() as session:
                if self._gate is not None:
                    await self._gate()
                sent = True
                await session.query(statement)
        except Refused as error:
            raise Permanent(f"{self._name}: {error}") from error
        except _LOST as error:
            why = f"{self._name}: no answer: {str(error) or 'timed out'}"
            raise (Uncertain if sent else Temporary)(why) from error

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator["Session"]:
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            session = Session(reader, writer)
            await session.begin(self._user, self._password)
            yield session
        finally:
            writer.close()


class Session:
    """One connection to the console."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak over these."""
        self._reader = reader
        self._writer = writer

    async def begin(self, user: str, password: str) -> None:
        """Come in; raises Refused."""
        named = {"user": user, "database": DATABASE, "application_name": "responder"}
        body = b"".join(f"{key}\0{value}\0".encode() for key, value in named.items()) + b"\0"
        self._writer.write(struct.pack("!II", len(body) + 8, PROTOCOL) + body)
        scram = Scram(password)
        async for kind, payload in self._messages():
            if kind != b"R":
                continue
            (asked,) = struct.unpack("!I", payload[:4])
            match asked:
                case 0 | 12:
                    scram.check(payload[4:], done=asked == _FINAL)
                case 3:
                    self._send(b"p", password.encode() + b"\0")
                case 5:
                    self._send(b"p", _md5(user, password, payload[4:8]) + b"\0")
                case 10:
                    first = scram.first()
                    self._send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
                case 11:
                    self._send(b"p", scram.second(payload[4:]))
                case _:
                    raise Refused("it wants credentials of a kind that is not known here")

    async def query(self, statement: str) -> Sequence[Mapping[str, str]]:
        """Send one statement and return its rows; raises Refused."""
        self._send(b"Q", statement.encode() + b"\0")
        names: list[str] = []
        rows: list[Mapping[str, str]] = []
        async for kind, payload in self._messages():
            if kind == b"T":
                names = _columns(payload)
            elif kind == b"D":
                rows.append(dict(zip(names, _values(payload), strict=True)))
        return rows

    def _send(self, kind: bytes, payload: bytes) -> None:
        self._writer.write(kind + struct.pack("!I", len(payload) + 4) + payload)

    async def _messages(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Go through what comes until it is ready for the next question; raises Refused for an error."""
        while True:
            head = await self._reader.readexactly(5)
            (length,) = struct.unpack("!I", head[1:])
            if not 4 <= length <= MOST_BYTES:  # noqa: PLR2004 - the length counts itself
                raise Refused("its answer cannot be understood: is something else at this address?")
            payload = await self._reader.readexactly(length - 4)
            if head[:1] == b"E":
                fields = {part[:1]: part[1:] for part in payload.split(b"\0") if part}
                raise Refused(fields.get(b"M", b"an error").decode(errors="replace")[:200])
            if head[:1] == b"Z":
                return
            yield head[:1], payload


class Scram:
    """SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677)."""

    def __init__(self, password: str) -> None:
        """Prove to know ``password``, and let the server prove it, too."""
        self._password = password.encode()
        self._bare = f"n=,r={secrets.token_urlsafe(18)}"
        self._signature = b""

    def first(self) -> bytes:
        """Return the client's first message."""
        return f"n,,{self._bare}".encode()

    def second(self, server: bytes) -> bytes:
        """Return the proof for the server's first message; raises Refused."""
        try:
            said = dict(part.split("=", 1) for part in server.decode().split(","))
            nonce, salt, rounds = said["r"], base64.b64decode(said["s"]), int(said["i"])
        except (ValueError, KeyError) as error:
            raise Refused("its question for the password cannot be understood") from error
        if not nonce.startswith(self._bare.partition("r=")[2]) or not 0 < rounds <= 1_000_000:  # noqa: PLR2004 - a bound
            raise Refused("its question for the password cannot be meant")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, rounds)
        last = f"c=biws,r={nonce}"
        message = f"{self._bare},{server.decode()},{last}".encode()
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
        self._signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        return f"{last},p={base64.b64encode(proof).decode()}".encode()

    def check(self, server: bytes, *, done: bool) -> None:
        """Make sure that the server knows the password as well; raises Refused."""
        if done and not hmac.compare_digest(server, b"v=" + base64.b64encode(self._signature)):
            raise Refused("it does not know the password itself")


def _md5(user: str, password: str, salt: bytes) -> bytes:
    inner = hashlib.md5(f"{password}{user}".encode()).hexdigest()  # noqa: S324 - what the protocol says
    return b"md5" + hashlib.md5(inner.encode() + salt).hexdigest().encode()  # noqa: S324 - as above


def _columns(payload: bytes) -> list[str]:
    (count,) = struct.unpack("!H", payload[:2])
    names, at = [], 2
    for _ in range(count):
        end = payload.index(b"\0", at)
        names.append(payload[at:end].decode(errors="replace"))
        at = end + 19  # the null and the column's table, place, type, size, modifier and format
    return names


def _values(payload: bytes) -> list[str]:
    (count,) = struct.unpack("!H", payload[:2])
    values, at = [], 2
    for _ in range(count):
        (length,) = struct.unpack("!i", payload[at : at + 4])
        at += 4
        values.append(payload[at : at + max(length, 0)].decode(errors="replace"))
        at += max(length, 0)
    return values
