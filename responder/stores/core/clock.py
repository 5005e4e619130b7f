"""The store's clock: where it is read, advanced by this machine's ticks, and doubted when the two disagree.

The store's time is its source's (the server's clock, or the wall clock beside a file) plus an offset. When the source
jumps the offset takes it back: leases, windows and cooldowns go on as if nothing had happened. The offset stands in the
store, so that every replica goes by it and a restart does not forget it.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from responder.domain.errors import StoreError
from responder.domain.ids import new_id
from responder.domain.suspicion import Suspicion
from responder.stores.core.types import decode, encode, instant, micros

SYNC_EVERY = timedelta(seconds=5)
"""How old the clock's last reading may become."""
TOLERANCE = timedelta(seconds=5)
"""Disagreement beyond this between two readings, or within ``CALM``, is a jump (engine.md)."""
CALM = timedelta(seconds=60)
"""So long the readings must agree before the clock is trusted again (engine.md)."""
MARK = "clock"
"""The key in ``meta`` under which a mark is kept."""
_NONE = timedelta()


def boot_ticks() -> float:
    """Return the seconds since this machine was started, those in which it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def boot_id() -> str:
    """Return what tells this start of this machine from all others, empty where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Mark:
    """One reading as the store keeps it.

    ``at`` is the store's time when the machine of ``boot`` had counted ``ticks``; the source read ``at - offset``.
    ``by`` names who read it, ``jumped_at`` is when a jump was last seen, by the store's time.
    """

    at: datetime
    offset: timedelta = _NONE
    boot: str = ""
    ticks: float = 0.0
    by: str = ""
    jumped_at: datetime | None = None

    @property
    def source(self) -> datetime:
        """What the source read."""
        return self.at - self.offset

    def text(self) -> str:
        """Return it as it is kept."""
        return encode(
            {
                "at": micros(self.at),
                "offset": self.offset // timedelta(microseconds=1),
                "boot": self.boot,
                "ticks": self.ticks,
                "by": self.by,
                "jumped_at": None if self.jumped_at is None else micros(self.jumped_at),
            }
        )

    @classmethod
    def read(cls, text: str) -> "Mark":
        """Return what ``text`` kept."""
        found = decode(text)
        assert isinstance(found, dict)  # noqa: S101 - nobody else writes under this key
        jumped = found["jumped_at"]
        return cls(
            at=instant(int(str(found["at"]))),
            offset=timedelta(microseconds=int(str(found["offset"]))),
            boot=str(found["boot"]),
            ticks=float(str(found["ticks"])),
            by=str(found["by"]),
            jumped_at=None if jumped is None else instant(int(str(jumped))),
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What the source said when the machine of ``boot`` had counted ``ticks``, read by ``by``.

    ``expected`` is what the reader's own clock said then, None when it has just started; ``drifted`` is by how much
    its readings of the last minute were followed.
    """

    source: datetime
    boot: str
    ticks: float
    by: str
    expected: datetime | None = None
    drifted: timedelta = _NONE


@dataclass(frozen=True, slots=True)
class Reckoning:
    """The offset from now on, how far the reading was from what was expected, and whether that is a jump."""

    offset: timedelta
    apart: timedelta
    jumped: bool


def reckon(reading: Reading, mark: Mark | None) -> Reckoning:
    """Compare a reading with what it should be; the offset takes back what the source jumped."""
    if mark is None:
        return Reckoning(_NONE, _NONE, jumped=False)
    shared = reading.source + mark.offset
    apart = shared - _expected(reading, mark)
    if abs(apart) <= TOLERANCE and abs(apart + reading.drifted) <= TOLERANCE:
        return Reckoning(mark.offset, apart, jumped=False)
    mine = mark.by != reading.by and _it_was_me(reading, mark, apart)
    return Reckoning(mark.offset if mine else mark.offset - apart, apart, jumped=True)


def _expected(reading: Reading, mark: Mark) -> datetime:
    if reading.expected is not None:
        return reading.expected
    if mark.boot and mark.boot == reading.boot and reading.ticks >= mark.ticks:
        return mark.at + timedelta(seconds=reading.ticks - mark.ticks)
    # On another machine, or after a reboot, nobody knows how long nobody looked: only going back can be told.
    return max(reading.source + mark.offset, mark.at)


def _it_was_me(reading: Reading, mark: Mark, apart: timedelta) -> bool:
    """Say whether another replica, which read the same source meanwhile, shows that it did not jump: I slept."""
    if apart < _NONE:
        return reading.source >= mark.source
    return reading.source - mark.source < apart - TOLERANCE


class AnchoredClock:
    """Reads ``mark + ticks since``, never backwards."""

    def __init__(self, ticks: Callable[[], float] = boot_ticks, boot: str | None = None) -> None:
        """Read ``ticks`` (seconds) of the machine's start ``boot``; the clock must be anchored before it is read."""
        self.ticks = ticks
        self.boot = boot_id() if boot is None else boot
        self.name = new_id()
        self.jumps = 0
        self._anchor: tuple[datetime, float] | None = None
        self._latest: datetime | None = None
        self._offset = _NONE
        self._agreed_at: datetime | None = None
        self._jumped_at: datetime | None = None
        self._why = ""
        self._followed: deque[tuple[float, timedelta]] = deque()

    @property
    def anchored(self) -> bool:
        """Whether the clock can be read."""
        return self._anchor is not None

    @property
    def offset(self) -> timedelta:
        """What is added to the source."""
        return self._offset

    def now(self) -> datetime:
        """Return the instant; raises RuntimeError before the first anchor."""
        reading = self._at(self.ticks())
        if self._latest is None or reading > self._latest:
            self._latest = reading
        return self._latest

    def _at(self, ticks: float) -> datetime:
        if self._anchor is None:
            msg = "the store is not open"
            raise RuntimeError(msg)
        base, since = self._anchor
        return base + timedelta(seconds=ticks - since)

    def anchor(self, at: datetime, ticks: float | None = None) -> None:
        """Take ``at`` as what it was at ``ticks`` (None: now)."""
        self._anchor = (at, self.ticks() if ticks is None else ticks)

    def judge(self, source: datetime, ticks: float, mark: Mark | None) -> Mark:
        """Compare what the source read at ``ticks`` with this machine and with the store's mark.

        A jump is suspicious from here on. Returns the mark that the store is to keep; ``follow`` it once it does.
        """
        expected = self._at(ticks) if self.anchored else None
        if mark is None and expected is not None:
            mark = self.mark()  # somebody took it out of the store
        self._forget(ticks)
        drifted = sum((one for _, one in self._followed), _NONE)
        reckoning = reckon(Reading(source, self.boot, ticks, self.name, expected, drifted), mark)
        at = source + reckoning.offset
        if mark is not None and expected is None:
            at = max(at, mark.at)
        if reckoning.jumped:
            self.jumps += 1
            self.doubt(_jump(reckoning.apart), at)
        else:
            self._followed.append((ticks, reckoning.apart))
            self._agreed_at = at
        self._hear_of(mark, at)
        offset = at - source
        # Where only this machine slept the others need not doubt the clock.
        shared = self._jumped_at if mark is None or offset != mark.offset else mark.jumped_at
        return Mark(at, offset, self.boot, ticks, self.name, shared)

    def _forget(self, ticks: float) -> None:
        while self._followed and self._followed[0][0] <= ticks - CALM.total_seconds():
            self._followed.popleft()

    def _hear_of(self, mark: Mark | None, at: datetime) -> None:
        """Doubt the clock when another replica, or this one before it was restarted, saw it jump just now."""
        jumped_at = mark.jumped_at if mark is not None else None
        if jumped_at is not None and at < jumped_at + CALM and (self._jumped_at is None or jumped_at > self._jumped_at):
            self.doubt("It jumped a short time ago.", jumped_at)

    def follow(self, mark: Mark) -> None:
        """Go by what the store keeps."""
        self._offset = mark.offset
        self.anchor(mark.at, mark.ticks)

    def mark(self) -> Mark:
        """Return how the clock stands now, for the store to keep."""
        return Mark(self.now(), self._offset, self.boot, self.ticks(), self.name, self._jumped_at)

    def doubt(self, why: str, at: datetime | None = None) -> None:
        """Trust the clock no more until its readings have agreed for a minute."""
        self._jumped_at = self.now() if at is None else at
        self._why = f"{why} It must agree with this machine's for {CALM.total_seconds():.0f} s."

    def suspicion(self) -> Suspicion | None:
        """Return since when and why the clock is doubted, None when it is trusted."""
        if self._jumped_at is None:
            return None
        until = self._jumped_at + CALM
        if self._agreed_at is not None and self._agreed_at >= until:
            return None
        return Suspicion(self._jumped_at, until, self._why)


def _jump(apart: timedelta) -> str:
    direction = "ahead" if apart > _NONE else "back"
    return f"It jumped {direction} by {abs(apart.total_seconds()):.0f} s, which is not counted."


OnFact = Callable[..., None]
"""Takes a fact's name and its fields."""


def unheard(_name: str, **_fields: object) -> None:
    """Take a fact that nobody listens to."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of a clock last."""

    jumps: int = 0
    suspect: bool = False


def tell_clock(clock: AnchoredClock, on_fact: OnFact, told: Told) -> Told:
    """Tell how the clock stands, and loudly when it has begun to be doubted or is trusted again."""
    suspicion, offset = clock.suspicion(), clock.offset.total_seconds()
    jumps = clock.jumps - told.jumps
    if suspicion is not None and (jumps or not told.suspect):
        on_fact("clock_suspect", why=suspicion.why, until=suspicion.until.isoformat(), offset=offset, jumps=jumps)
    elif suspicion is None and told.suspect:
        on_fact("clock_trusted", offset=offset)
    on_fact("clock", suspect=suspicion is not None, offset=offset)
    return Told(clock.jumps, suspicion is not None)


async def keep_anchored(clock: AnchoredClock, read: Callable[[], Awaitable[None]], on_fact: OnFact) -> None:
    """Read the source every few seconds and tell what came of it; a store that is away is heard of elsewhere."""
    told = tell_clock(clock, on_fact, Told())
    while True:
        await asyncio.sleep(SYNC_EVERY.total_seconds() * 0.8)
        with contextlib.suppress(StoreError):
            await read()
        told = tell_clock(clock, on_fact, told)
