"""Machines as targets: commands without a shell, each key once, and an outcome that outlives whoever asked.

A supervisor of its own runs each command there (``supervisor.py``) and keeps a journal of its key in a folder. Who
takes an effect up again reads there what became of it: not begun, done, refused, still at work. What is said to that
machine goes over a line: within this one, or over SSH (``ssh.py``).
"""

import asyncio
import contextlib
import copy
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

from responder.clients import supervisor
from responder.domain.errors import Permanent, Temporary, Uncertain
from responder.language.commands import USUAL_ENVIRONMENT, Command, Job
from responder.ports.hosts import Answer, Ended, Examined
from responder.ports.tools import Gate

PATIENCE_SECONDS = 7.0
"""How long a run is waited for; then it goes on by itself, and is asked for later (an effect has 9 s, engine.md)."""
START_SECONDS = 5.0
SHOWN = 300
"""How many characters of what a command has said stand in a message."""


class Talk(Protocol):
    """The two ends of a supervisor."""

    async def hear(self) -> bytes:
        """Return the next line, none at the end; raises OSError when the line is broken."""
        ...

    def say(self, line: bytes) -> None:
        """Send a line."""
        ...


class Line(Protocol):
    """A way to a machine and what is asked there."""

    async def ask(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request; raises Temporary, and Permanent where another try would be the same."""
        ...

    def supervised(self, told: Mapping[str, Any]) -> AbstractAsyncContextManager[Talk]:
        """Give a supervisor that has been told its job; raises as ``ask``.

        It goes on by itself once it has begun, and ends when it has not.
        """
        ...


class HostClient:
    """A machine at the other end of a line (``ports.hosts.Host``)."""

    def __init__(
        self,
        name: str,
        folder: str,
        commands: Mapping[str, Command],
        line: Line,
        *,
        units: Sequence[str] = (),
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """``folder`` there is where the journals are kept; it is made on first use. ``units`` may be restarted."""
        self._name = name
        self._folder = folder
        self._commands = commands
        self._line = line
        self._units = tuple(units)
        self._patience = patience
        self._gate: Gate | None = None

    def behind(self, gate: Gate) -> "HostClient":
        """See ``ports.hosts.Host.behind``."""
        gated = copy.copy(self)
        gated._gate = gate  # noqa: SLF001 - our own copy
        return gated

    def job(self, command: str, values: Mapping[str, str], direction: str = "do") -> Job:
        """See ``ports.hosts.Host.job``."""
        try:
            return self._command(command).job(values, direction)
        except ValueError as error:
            raise Permanent(str(error)) from error

    def undoable(self, command: str) -> bool:
        """See ``ports.hosts.Host.undoable``."""
        return bool(self._command(command).undo)

    def may_restart(self, unit: str) -> bool:
        """See ``ports.hosts.Host.may_restart``."""
        return any(fnmatchcase(unit, pattern) for pattern in self._units)

    def _command(self, name: str) -> Command:
        found = self._commands.get(name)
        if found is None:
            raise Permanent(f"no command is called {name!r} (configured: {', '.join(self._commands) or 'none'})")
        if found.hosts and self._name not in found.hosts:
            raise Permanent(f"the command {name} may not run on {self._name} (it may on {', '.join(found.hosts)})")
        return found

    async def place(self) -> str:
        """See ``ports.hosts.Host.place``."""
        return str((await self._ask("place"))["place"])

    async def examine(self) -> Examined:
        """See ``ports.hosts.Host.examine``."""
        mine = {name: one for name, one in self._commands.items() if not one.hosts or self._name in one.hosts}
        commands = {
            name: {
                "programs": [argv[0] for argv in (one.argv, one.undo, one.landed) if argv],
                "user": one.usual.user,
                "folder": one.usual.folder,
            }
            for name, one in mine.items()
        }
        found = await self._ask("examine", commands=commands)
        return Examined(found["journals"], found["commands"], found["python"])

    async def read(self, argv: Sequence[str], seconds: float = 5) -> Answer:
        """See ``ports.hosts.Host.read``."""
        return await self._read(Job(tuple(argv), seconds=seconds), "")

    async def run(self, job: Job, key: str, place: str) -> bool:
        """See ``ports.hosts.Host.run``."""
        told = {"do": "run", "journals": self._folder, "place": place, **_told(job, key)}
        async with self._line.supervised(told) as talk:
            await self._ready(talk)
            if self._gate is not None:
                await self._gate()
            talk.say(b"go\n")
            begun = await self._answered(talk, START_SECONDS)
            if begun["state"] == "refused":
                raise Temporary(f"{self._name}: {begun['error']}")
            if begun["state"] == "begun":
                return self._judge(job, await self._answered(talk, self._patience))
        return await self._spent(job, key, place)

    async def _ready(self, talk: Talk) -> None:
        """Wait for what comes before anything is done."""
        try:
            answer = await self._answered(talk, START_SECONDS)
        except Uncertain as error:
            raise Temporary(f"{self._name}: nothing could be started: {error}") from error
        if answer["state"] == "elsewhere":
            raise Permanent(f"{self._name} is another machine than the one that this was planned for")
        if answer["state"] != "ready":
            raise Temporary(f"{self._name}: {answer.get('error') or 'nothing could be started'}")

    async def _answered(self, talk: Talk, seconds: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(seconds):
                line = await talk.hear()
        except TimeoutError as error:
            raise Uncertain(f"{self._name}: it still runs after {seconds:g} s") from error
        except (OSError, ValueError) as error:
            raise Uncertain(f"{self._name}: its supervisor broke off") from error
        if not line:
            raise Uncertain(f"{self._name}: its supervisor is gone")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def _spent(self, job: Job, key: str, place: str) -> bool:
        """Answer for a key that is used already, as the first time; or use it again, when that did nothing."""
        found = await self._ask("look", place=place, **_told(job, key))
        if found["state"] == "ended":
            return self._judge(job, found)
        match await self.outcome(job, key, place):
            case "done":
                return True
            case "no":
                return await self.run(job, key, place)
        raise Uncertain(f"{self._name}: it was begun before")

    def _judge(self, job: Job, ended: Mapping[str, Any]) -> bool:
        """Say what an end means; raises what it was, unless it went well."""
        match _meaning(job, ended):
            case "done":
                return True
            case "nothing":
                return False
            case "never":
                raise Permanent(self._how(job, ended))
            case _:
                raise Uncertain(self._how(job, ended))

    def _how(self, job: Job, ended: Mapping[str, Any]) -> str:
        """Say how it ended, and what it said at last."""
        how = ended["error"] or f"it ended with {ended['code']}"
        if not ended["error"] and _meaning(job, ended) == "unknown":
            how += ", of which nobody has said what it means"
        return f"{self._name}: {how}{shown(str(ended['said']))}"

    async def told(self, job: Job, key: str, place: str) -> str:
        """See ``ports.hosts.Host.told``."""
        found = await self._ask("look", place=place, **_told(job, key))
        return self._how(job, found) if found["state"] == "ended" else ""

    async def outcome(self, job: Job, key: str, place: str) -> Ended:
        """See ``ports.hosts.Host.outcome``."""
        told = {"place": place, **_told(job, key)}
        found = await self._ask("look", **told)
        state = found["state"]
        ended: Ended = _meaning(job, found) if state == "ended" else "unknown" if state == "elsewhere" else state
        if ended == "never":
            await self._ask("retire", **told, id=found.get("id"))
        if ended != "unknown" or state == "elsewhere" or not job.landed:
            return ended
        answer = await self._read(Job(job.landed, job.folder, job.environment, job.user, 5), key)
        if answer.code == 0:
            return "done"
        if answer.code != 1 or state == "ended":
            # A program that has run and of which nothing is there may have done half of it: it is not run again.
            return "unknown"
        await self._ask("retire", **told, id=found.get("id"))
        return "no"

    async def _read(self, job: Job, key: str) -> Answer:
        """Run something that changes nothing."""
        found = await self._ask("read", **{**_told(job, key), "output": supervisor.MOST_READ})
        if found["state"] == "absent":
            raise Permanent(f"{self._name}: {found['error']}")
        if found["code"] is None:
            raise Temporary(f"{self._name}: {job.argv[0]}: {found['error']}")
        return Answer(found["code"], found["said"])

    async def _ask(self, do: str, **told: Any) -> dict[str, Any]:  # noqa: ANN401 -- JSON
        found = await self._line.ask({"do": do, "journals": self._folder, **told})
        if found["state"] == "failed":
            raise Temporary(f"{self._name}: {found['error']}")
        return found


class LocalLine:
    """The machine that this process runs on."""

    async def ask(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Line.ask``."""
        return await asyncio.to_thread(supervisor.answer, dict(told))

    @contextlib.asynccontextmanager
    async def supervised(self, told: Mapping[str, Any]) -> AsyncIterator[Talk]:
        """See ``Line.supervised``."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.to_thread(_start, theirs)
        reader, writer = await asyncio.open_connection(sock=ours, limit=longest(told))
        try:
            writer.write(json.dumps(told).encode() + b"\n")
            yield _Pair(reader, writer)
        finally:
            writer.close()
            # It ends by itself, at once: nobody says go any more, or its second half has taken over.
            await asyncio.shield(asyncio.to_thread(process.wait))


@dataclass(frozen=True, slots=True)
class _Pair:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def hear(self) -> bytes:
        return await self.reader.readline()

    def say(self, line: bytes) -> None:
        self.writer.write(line)


class LocalHost(HostClient):
    """The machine that this process runs on, as a target."""

    def __init__(
        self,
        name: str,
        folder: Path,
        commands: Mapping[str, Command],
        *,
        units: Sequence[str] = (),
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """See ``HostClient``."""
        super().__init__(name, str(folder), commands, LocalLine(), units=units, patience=patience)


def longest(told: Mapping[str, Any]) -> int:
    """Return how many bytes a line of an answer may have: in JSON a byte takes up to six."""
    return 8 * int(told["output"]) + 65_536


def _told(job: Job, key: str) -> dict[str, Any]:
    return {
        "key": key,
        "argv": job.argv,
        "folder": job.folder,
        "environment": job.environment,
        "hidden": sorted(set(job.environment) - set(USUAL_ENVIRONMENT)),
        "user": job.user,
        "seconds": job.seconds,
        "output": job.output,
    }


def _start(theirs: socket.socket) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-I", "-S", supervisor.__file__]
    return subprocess.Popen(  # noqa: S603 - our own
        argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.DEVNULL, cwd="/", start_new_session=True
    )


def _meaning(job: Job, ended: Mapping[str, Any]) -> Ended:
    code = ended["code"]
    if code is None:
        return "unknown" if ended["ran"] else "never"
    if code in job.codes.success:
        return "done"
    if code in job.codes.nothing:
        return "nothing"
    return "never" if code in job.codes.failed else "unknown"


def shown(said: str) -> str:
    """Return the end of what a command has said, on one line."""
    printable = "".join(sign if sign.isprintable() else " " for sign in said)
    words = " ".join(printable.split())
    return f": {words[-SHOWN:]}" if words else ""
