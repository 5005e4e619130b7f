"""Machines on which commands are run: this one, or another by a name."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from responder.language.commands import Job

Ended = Literal["done", "nothing", "never", "no", "running", "unknown"]
"""What has become of a run: it is done, there was nothing to do, it was begun and certainly did nothing, it was never
begun, it still runs, or nobody can tell. After ``no`` and ``never`` its key may be used again, by whoever is first."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command that only reads has said."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Examined:
    """What a look at a machine has found: why it cannot keep journals, why commands cannot be run, its Python.

    Empty texts say that nothing is wrong.
    """

    journals: str
    commands: Mapping[str, str]
    python: str


class Host(Protocol):
    """A configured machine. A command's key is used once: who comes second is refused, or told what came of it."""

    def behind(self, gate: Callable[[], Awaitable[None]]) -> "Host":
        """Return it with a gate that each run passes."""
        ...

    async def place(self) -> str:
        """Return which machine this is, and where it writes down what it ran; raises Temporary."""
        ...

    def job(self, command: str, values: Mapping[str, str], direction: str = "do") -> Job:
        """Return what a named command, or its undo, is with these values; raises Permanent."""
        ...

    def undoable(self, command: str) -> bool:
        """Say whether a named command has an undo."""
        ...

    def may_restart(self, unit: str) -> bool:
        """Say whether a unit of systemd may be restarted here."""
        ...

    async def read(self, argv: Sequence[str], seconds: float = 5) -> Answer:
        """Run something that changes nothing; raises Temporary when it does not end in time, Permanent without it."""
        ...

    async def run(self, job: Job, key: str, place: str) -> bool:
        """Pass the gate and run ``job`` once under ``key``; false when there was nothing to do.

        ``place`` is where the key belongs to. Raises Permanent when it certainly did nothing, Uncertain when nobody can
        tell, or when it still runs.
        """
        ...

    async def outcome(self, job: Job, key: str, place: str) -> Ended:
        """Say what has become of ``key``; raises Temporary when that cannot be read."""
        ...

    async def told(self, job: Job, key: str, place: str) -> str:
        """Return in words how the program of ``key`` ended; empty when that is not known. Raises as ``outcome``."""
        ...

    async def examine(self) -> Examined:
        """Look whether commands can be run and journals be kept; runs and makes nothing. Raises StepError."""
        ...
