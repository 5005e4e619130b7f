"""Misbehaviour on demand: what a server or the network between may do to a request."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

KINDS = ("hang", "reset", "applied_hang", "lost_reply", "applied_error", "slow", "delayed")
"""Faults besides a status code ("429", "500", "503" …), which refuses without an effect.

``hang`` and ``reset`` have no effect either; ``applied_hang`` applies and never answers; ``lost_reply`` applies and
cuts the connection; ``applied_error`` applies and answers `status`; ``slow`` waits `after_ms` and then does as asked;
``delayed`` (writes) cuts the connection at once and does as asked after `after_ms`, so that another request can
overtake it.
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour to come.

    `on` is ``write``, ``read`` or ``any``; `path` is the end of the path it applies to (``/scale``), empty for any.
    """

    kind: str
    on: str = "write"
    path: str = ""
    status: int = 500
    retry_after: int | None = None
    after_ms: int = 200

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist: a fault that never strikes would make a test pass for nothing."""
        if self.kind not in KINDS and not self.kind.isdigit():
            raise ValueError(f"unknown fault {self.kind!r}: a status code or one of {', '.join(KINDS)}")
        if self.on not in {"write", "read", "any"}:
            raise ValueError(f"unknown target {self.on!r} of a fault: write, read or any")

    @property
    def harmless(self) -> bool:
        """Whether the request certainly has no effect."""
        return self.kind in {"hang", "reset"} or self.kind.isdigit()


@dataclass(slots=True)
class Faults:
    """The misbehaviours to come, in order; each strikes the first request that fits. `struck` counts them.

    What is delayed lands when its time is over and the `gate` is open: a test that clears it decides on the order.
    """

    waiting: deque[Fault] = field(default_factory=deque)
    struck: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Open the gate."""
        self.gate.set()

    def add(self, fault: Fault, times: int = 1) -> None:
        """Misbehave on the next `times` requests that fit."""
        self.waiting.extend([fault] * times)

    def clear(self) -> None:
        """Behave from now on; what hangs goes on hanging."""
        self.waiting.clear()

    def take(self, *, write: bool, path: str) -> Fault | None:
        """Remove and return the first fault that fits."""
        for fault in self.waiting:
            if fault.on in {"any", "write" if write else "read"} and path.endswith(fault.path):
                self.waiting.remove(fault)
                self.struck += 1
                self._changed.set()
                return fault
        return None

    async def strike(self, times: int = 1) -> None:
        """Wait until that many requests have been struck in all."""
        while self.struck < times:
            self._changed.clear()
            await self._changed.wait()
