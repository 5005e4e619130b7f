"""Child processes of the tests: started, awaited, stopped, and never left behind."""

import contextlib
import ctypes
import fcntl
import functools
import itertools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO

START = timedelta(seconds=20)
"""How long a server may take until it listens; the slowest (PostgreSQL) needs under a second."""
STOP = timedelta(seconds=10)
"""How long a server may take to stop before it is killed."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PORTS = range(20_000, 32_000)  # below Linux's ephemeral range: no outgoing connection takes a port we chose
_SHARES = 12  # of the ports: each test worker walks through its own, so that none takes what another has only chosen
_HELD = 256  # ports that a process keeps to itself
_ports: deque[IO[bytes]] = deque()
_POLL = 0.01  # seconds
_ROOM = 2 << 30  # bytes: four workers with a PostgreSQL each take a tenth of it; a container's 64 MB are too little


class ServerError(Exception):
    """A server did not start or died; the message carries what it wrote."""


@dataclass(slots=True)
class Child:
    """A running child process and what it wrote to stdout and stderr."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def output(self, limit: int = 4000) -> str:
        """Return the last characters of what the process wrote, for failure messages."""
        try:
            return self.log.read_text(errors="replace")[-limit:]
        except FileNotFoundError:
            return ""

    def wait_for_port(self, port: int, within: timedelta = START) -> None:
        """Return once something accepts on the loopback port; raise ServerError if the child dies or time is up."""

        def listening() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
                return True
            return False

        self.wait_until(listening, within)

    def wait_until(self, ready: Callable[[], bool], within: timedelta = START) -> None:
        """Poll `ready` until it is true; raise ServerError if the child dies first or time is up."""
        deadline = time.monotonic() + within.total_seconds()
        while not ready():
            try:
                # Waiting for the end of the process is the pause between two looks: an early death shows at once.
                code = self.process.wait(timeout=_POLL)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                problem = f"not ready within {within}"
            else:
                problem = f"ended with {code}"
            message = f"{self.name}: {problem}\n{self.output()}"
            raise ServerError(message)

    def stop(self, how: signal.Signals = signal.SIGTERM, within: timedelta = STOP) -> int:
        """Ask the process to end, kill it when it does not, and return its exit code."""
        if self.running:
            self.process.send_signal(signal.SIGCONT)  # a paused process would not see the request
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout=within.total_seconds())
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End the process and everything it started with SIGKILL, as a crash would; return its exit code."""
        family = _descendants(self.process.pid) if self.running else []
        self.process.kill()
        for pid in family:  # PostgreSQL's backends are in sessions of their own: no process group reaches them
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return self.process.wait()

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): a hung server, or a worker that lost its lease."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        self.process.send_signal(signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class Account:
    """The user a server runs as; None stands for the user of the tests."""

    name: str | None = None
    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)


def account(*candidates: str) -> Account:
    """Return the first existing user when the tests run as root (PostgreSQL refuses it), else the user of the tests."""
    if os.geteuid() != 0:
        return Account()
    for name in candidates:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    message = f"none of the users {', '.join(candidates)} exists"
    raise ServerError(message)


def start(
    name: str,
    argv: Sequence[str | Path],
    *,
    directory: Path,
    run_as: Account | None = None,
    env: Mapping[str, str] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> Child:
    """Start a process that dies with the thread that started it; its output goes to a file in `directory`.

    Call it from the main thread: Linux sends the death signal when the starting *thread* ends.
    """
    log = directory / f"{name}.log"
    drop = run_as if run_as is not None and run_as.name is not None else None
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in argv],
            cwd=directory,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for pytest, which then stops its servers in order
            preexec_fn=_dies_with_parent(death_signal),  # noqa: PLW1509 -- no other way to reach prctl before exec
            user=drop.uid if drop else None,
            group=drop.gid if drop else None,
            extra_groups=[] if drop else None,
        )
    return Child(name, process, log)


def memory() -> Path | None:
    """Return a folder in memory, where a file costs no disk; None where there is none, or none with room."""
    path = Path("/dev/shm")  # noqa: S108 -- folders of our own are made in it
    with contextlib.suppress(OSError):
        room = os.statvfs(path)
        if os.access(path, os.W_OK) and room.f_bavail * room.f_frsize >= _ROOM:
            return path
    return None


@contextlib.contextmanager
def private_directory(name: str, run_as: Account | None = None, within: Path | None = None) -> Iterator[Path]:
    """Make a directory that `run_as` owns and remove it afterwards; pytest's own would be closed to other users."""
    path = Path(tempfile.mkdtemp(prefix=f"bed-{name}-", dir=within))
    if run_as is not None and run_as.name is not None:
        os.chown(path, run_as.uid, run_as.gid)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def free_port() -> int:
    """Return a loopback TCP port that nothing uses now and no outgoing connection will take by chance.

    It is this process's for its next ``_HELD`` ports: what listens there may be killed and started again, and meanwhile
    the port must not be another process's.
    """
    for port in itertools.islice(_walk(), len(_PORTS) // _SHARES):
        if not _hold(port):
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    message = f"no free port between {_PORTS.start} and {_PORTS.stop}"
    raise ServerError(message)


def _hold(port: int) -> bool:
    """Lock a port's file, and say whether no other process has it."""
    folder = Path(tempfile.gettempdir()) / f"bed-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    held = (folder / str(port)).open("wb")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        return False
    _ports.append(held)
    if len(_ports) > _HELD:
        _ports.popleft().close()
    return True


@functools.cache
def _walk() -> Iterator[int]:
    """Give the ports of this worker's share one after the other, time and again: one just given comes last."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    share = _PORTS[int(worker) % _SHARES if worker.isdecimal() else _SHARES - 1 :: _SHARES]
    begin = random.SystemRandom().randrange(len(share))
    return itertools.cycle([*share[begin:], *share[:begin]])


def program(name: str, *places: str) -> Path | None:
    """Return where a program is, looking in `places` (globs below /) after PATH; None when it is not installed."""
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    matches = sorted(path for place in places for path in Path("/").glob(f"{place}/{name}"))
    return matches[-1] if matches else None


def _dies_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded here: between fork and exec as little as possible may happen
    parent = os.getpid()

    def ask_the_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask_the_kernel


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found
