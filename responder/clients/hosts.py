"""This machine as a target: commands without a shell, each key once, and an outcome that outlives whoever asked.

A supervisor of its own runs each command (``supervisor.py``) and keeps a journal of its key in a folder. Who takes an
effect up again reads there what became of it: not begun, done, refused, still at work.
"""

import asyncio
import contextlib
import copy
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from responder.clients import supervisor
from responder.domain.errors import Permanent, Temporary, Uncertain
from responder.language.commands import USUAL_ENVIRONMENT, Command, Job
from responder.ports.hosts import Answer, Ended
from responder.ports.tools import Gate

RECORD = "RESPONDER_RECORD"
"""The variable in which a command finds the key of its effect."""
PATIENCE_SECONDS = 7.0
"""How long a run is waited for; then it goes on by itself, and is asked for later (an effect has 9 s, engine.md)."""
START_SECONDS = 5.0
KEPT_SECONDS = 30 * 24 * 3600
"""How long the journals of what is over are kept."""
SHOWN = 300
"""How many characters of what a command has said stand in a message."""
SHORTEST_SECRET = 6
USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOST_READ = 256 * 1024


class LocalHost:
    """The machine that this process runs on (``ports.hosts.Host``)."""

    def __init__(
        self,
        name: str,
        folder: Path,
        commands: Mapping[str, Command],
        *,
        units: Sequence[str] = (),
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """``folder`` is where the journals are kept; it is made on first use. ``units`` may be restarted."""
        self._units = tuple(units)
        self._name = name
        self._folder = folder
        self._commands = commands
        self._patience = patience
        self._gate: Gate | None = None

    def behind(self, gate: Gate) -> "LocalHost":
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
        return await asyncio.to_thread(self._place)

    def _place(self) -> str:
        path = self._folder / "place"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError), path.open("x", encoding="ascii") as file:
                file.write(secrets.token_hex(8))
            return f"{socket.gethostname()}/{path.read_text(encoding='ascii')}"
        except OSError as error:
            msg = f"{self._name}: its journals cannot be kept in {self._folder}: {error.strerror or error}"
            raise Temporary(msg) from error

    async def read(self, argv: Sequence[str], seconds: float = 5) -> Answer:
        """See ``ports.hosts.Host.read``."""
        return await self._read(Job(tuple(argv), seconds=seconds), "")

    async def run(self, job: Job, key: str, place: str) -> bool:
        """See ``ports.hosts.Host.run``."""
        if place != await self.place():
            raise Permanent(f"{self._name} is another machine than the one that this was planned for")
        async with self._supervised(job, key) as (reader, writer):
            await self._expect(reader, "ready", START_SECONDS)
            if self._gate is not None:
                await self._gate()
            writer.write(b"go\n")
            begun = await self._answered(reader, START_SECONDS)
            if begun["state"] == "refused":
                raise Temporary(f"{self._name}: {begun['error']}")
            if begun["state"] == "begun":
                return self._judge(job, await self._answered(reader, self._patience))
        return await self._spent(job, key, place)

    @contextlib.asynccontextmanager
    async def _supervised(self, job: Job, key: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Give the two ends of a supervisor; it goes on by itself once it has begun, and ends when it has not."""
        ours, theirs = socket.socketpair()
        told = {
            "journal": str(self._journal(key)),
            "argv": job.argv,
            "folder": job.folder,
            "environment": environment(job, key),
            "user": job.user,
            "seconds": job.seconds,
            "output": job.output,
        }
        with theirs:
            process = await asyncio.to_thread(_start, theirs)
        reader, writer = await asyncio.open_connection(sock=ours, limit=8 * job.output + 65_536)
        try:
            writer.write(json.dumps(told).encode() + b"\n")
            yield reader, writer
        finally:
            writer.close()
            # It ends by itself, at once: nobody says go any more, or its second half has taken over.
            await asyncio.shield(asyncio.to_thread(process.wait))

    async def _expect(self, reader: asyncio.StreamReader, state: str, seconds: float) -> None:
        """Wait for what comes before anything is done."""
        try:
            answer = await self._answered(reader, seconds)
        except Uncertain as error:
            raise Temporary(f"{self._name}: nothing could be started") from error
        if answer["state"] != state:
            raise Temporary(f"{self._name}: nothing could be started")

    async def _answered(self, reader: asyncio.StreamReader, seconds: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(seconds):
                line = await reader.readline()
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
        found = await asyncio.to_thread(self._written, key)
        if found is not None and found["state"] == "ended":
            return self._judge(job, found)
        match await self.outcome(job, key, place):
            case "done":
                return True
            case "no":
                return await self.run(job, key, place)
        raise Uncertain(f"{self._name}: it was begun before")

    def _judge(self, job: Job, ended: Mapping[str, Any]) -> bool:
        """Say what an end means; raises what it was, unless it went well."""
        said = shown(job, str(ended["said"]))
        match _meaning(job, ended):
            case "done":
                return True
            case "nothing":
                return False
            case "never":
                why = ended["error"] or f"it ended with {ended['code']}"
                raise Permanent(f"{self._name}: {why}{said}")
            case _:
                why = ended["error"] or f"it ended with {ended['code']}, of which nobody has said what it means"
                raise Uncertain(f"{self._name}: {why}{said}")

    async def outcome(self, job: Job, key: str, place: str) -> Ended:
        """See ``ports.hosts.Host.outcome``."""
        if place != await self.place():
            return "unknown"
        found = await asyncio.to_thread(self._look, job, key)
        if found != "unknown" or not job.landed:
            return found
        answer = await self._read(Job(job.landed, job.folder, job.environment, job.user, 5), key)
        if answer.code == 0:
            return "done"
        if answer.code != 1 or await asyncio.to_thread(self._has_ended, key):
            # A program that has run and of which nothing is there may have done half of it: it is not run again.
            return "unknown"
        await asyncio.to_thread(self._retire, key)
        return "no"

    def _has_ended(self, key: str) -> bool:
        """Whether the program of a key came to its end, whatever that was."""
        found = self._written(key)
        return found is not None and found["state"] == "ended"

    def _look(self, job: Job, key: str) -> Ended:
        """Read what became of a key; one that did nothing may be used again."""
        found = self._written(key)
        if found is None:
            return "no"
        if found["state"] == "ended":
            meaning = _meaning(job, found)
            if meaning == "never":
                self._retire(key)
            return meaning
        return "running" if self._held(key) else self._left(job, key, found)

    def _left(self, job: Job, key: str, found: Mapping[str, Any]) -> Ended:
        """Look after what a supervisor that was killed has left."""
        if supervisor.LEADER not in found:
            self._retire(key)  # nothing had been started
            return "no"
        if not supervisor.alive(found[supervisor.LEADER], found["started"]):
            return "unknown"
        if time.time() < found["at"] + job.seconds + supervisor.GRACE_SECONDS:
            return "running"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(found[supervisor.LEADER], signal.SIGKILL)
        return "unknown"

    def _journal(self, key: str) -> Path:
        return self._folder / f"{key.replace(':', '-')}.json"

    def _written(self, key: str) -> dict[str, Any] | None:
        try:
            text = self._journal(key).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Temporary(f"{self._name}: {self._journal(key)} cannot be read: {error.strerror}") from error
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError:
            return {"state": "begun", supervisor.LEADER: 0, "started": 0, "at": 0}  # cut off while it was written
        return found

    def _held(self, key: str) -> bool:
        """Whether the supervisor of a key lives: it has the lock."""
        with self._journal(key).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _retire(self, key: str) -> None:
        """Let a key be used again; what is known of its first use stays beside it. And forget what is long over."""
        path = self._journal(key)
        with contextlib.suppress(FileNotFoundError):
            path.rename(path.with_suffix(f".{time.time_ns()}"))
        forget(self._folder)

    async def _read(self, job: Job, key: str) -> Answer:
        """Run something that changes nothing."""
        try:
            process = await asyncio.create_subprocess_exec(
                *job.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=job.folder,
                env=environment(job, key),
                start_new_session=True,
                **supervisor.user_of(job.user),
            )
        except (OSError, KeyError) as error:
            raise Permanent(f"{self._name}: {job.argv[0]} could not be started: {error}") from error
        try:
            async with asyncio.timeout(job.seconds):
                assert process.stdout is not None  # noqa: S101 - it is a pipe
                said = await process.stdout.read(_MOST_READ)
                code = await process.wait()
        except TimeoutError as error:
            raise Temporary(f"{self._name}: {job.argv[0]} did not end within {job.seconds:g} s") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return Answer(code, said.decode(errors="replace"))


def forget(folder: Path) -> None:
    """Delete the journals of what is long over."""
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.name != "place" and path.stat().st_mtime < time.time() - KEPT_SECONDS:
                path.unlink()


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


def environment(job: Job, key: str) -> dict[str, str]:
    """Return what of our own environment a command sees, and the key of its effect."""
    passed = {name: os.environ[name] for name in job.environment if name in os.environ}
    return {"PATH": USUAL_PATH, **passed, **({RECORD: key} if key else {})}


def shown(job: Job, said: str) -> str:
    """Return the end of what a command has said, on one line; values that it alone was given are left out."""
    for name in set(job.environment) - set(USUAL_ENVIRONMENT):
        value = os.environ.get(name, "")
        if len(value) >= SHORTEST_SECRET:
            said = said.replace(value, "<secret>")
    printable = "".join(sign if sign.isprintable() else " " for sign in said)
    words = " ".join(printable.split())
    return f": {words[-SHOWN:]}" if words else ""
