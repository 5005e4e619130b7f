"""The store's clock goes by this machine's ticks, follows its source's drift, and does not go with its jumps."""

from datetime import UTC, datetime, timedelta

import pytest

from responder.stores.core.clock import CALM, TOLERANCE, AnchoredClock, Mark, Told, tell_clock

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Ticks:
    """A monotonic clock that goes when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Machine:
    """A machine's clock beside a source that may jump, over a store that keeps the mark."""

    def __init__(self, source: datetime = NOON) -> None:
        self.ticks = Ticks()
        self.source = source
        self.kept: Mark | None = None
        self.clock = self.another()

    def another(self, boot: str = "here") -> AnchoredClock:
        """Start another process on the machine, or on one that was started as ``boot``."""
        return AnchoredClock(self.ticks, boot)

    def passes(self, seconds: float, *, source: bool = True) -> None:
        self.ticks.seconds += seconds
        if source:
            self.source += timedelta(seconds=seconds)

    def look(self, clock: AnchoredClock | None = None) -> datetime:
        """Read the source once and keep the mark."""
        clock = clock or self.clock
        self.kept = clock.judge(self.source, self.ticks(), self.kept)
        clock.follow(self.kept)
        return clock.now()

    def agrees(self, clock: AnchoredClock | None = None, seconds: float = 60) -> None:
        """Let time pass and look every five seconds."""
        for _ in range(int(seconds // 5)):
            self.passes(5)
            self.look(clock)


def test_it_cannot_be_read_before_it_is_anchored() -> None:
    with pytest.raises(RuntimeError):
        AnchoredClock(Ticks()).now()


def test_it_advances_with_ticks() -> None:
    ticks = Ticks()
    clock = AnchoredClock(ticks)
    clock.anchor(NOON, ticks.seconds - 1)
    ticks.seconds += 10
    assert clock.now() == NOON + timedelta(seconds=11)


def test_anchoring_again_never_makes_it_read_backwards() -> None:
    ticks = Ticks()
    clock = AnchoredClock(ticks)
    clock.anchor(NOON)
    before = clock.now()
    clock.anchor(NOON - timedelta(seconds=3))
    assert clock.now() == before
    ticks.seconds += 4
    assert clock.now() > before


def test_a_first_look_takes_the_source_s_word() -> None:
    machine = Machine()
    assert machine.look() == NOON
    assert machine.clock.suspicion() is None


def test_drift_is_followed() -> None:
    machine = Machine()
    machine.look()
    machine.passes(5)
    machine.source += timedelta(seconds=2)
    assert machine.look() == NOON + timedelta(seconds=7)
    assert machine.clock.suspicion() is None


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_jump_is_not_gone_along_with(jump: timedelta) -> None:
    machine = Machine()
    machine.look()
    machine.passes(5)
    machine.source += jump
    assert machine.look() == NOON + timedelta(seconds=5)
    assert machine.clock.offset == -jump
    assert machine.clock.suspicion() is not None


def test_a_clock_that_has_jumped_is_trusted_again_after_a_minute_of_agreement() -> None:
    machine = Machine()
    machine.look()
    machine.source += HOUR
    machine.look()
    machine.agrees(seconds=55)
    assert machine.clock.suspicion() is not None
    machine.agrees(seconds=5)
    assert machine.clock.suspicion() is None


def test_a_minute_without_a_look_is_no_agreement() -> None:
    machine = Machine()
    machine.look()
    machine.source += HOUR
    machine.look()
    machine.passes(120)
    assert machine.clock.suspicion() is not None


def test_a_jump_in_many_small_steps_is_one() -> None:
    machine = Machine()
    machine.look()
    for _ in range(12):
        machine.passes(1)
        machine.source += timedelta(seconds=4)
        machine.look()
    assert machine.clock.suspicion() is not None
    assert machine.clock.now() <= NOON + timedelta(seconds=12) + TOLERANCE


def test_a_jump_that_is_set_right_leaves_no_offset() -> None:
    machine = Machine()
    machine.look()
    machine.source += HOUR
    machine.look()
    machine.passes(5)
    machine.source -= HOUR
    assert machine.look() == NOON + timedelta(seconds=5)
    assert machine.clock.offset == timedelta()


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_restart_forgets_neither_the_offset_nor_the_doubt(jump: timedelta) -> None:
    machine = Machine()
    machine.look()
    machine.source += jump
    machine.look()
    machine.passes(10)
    after = machine.another()
    assert machine.look(after) == NOON + timedelta(seconds=10)
    assert after.suspicion() is not None


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_jump_while_the_process_was_down_is_seen_when_it_starts(jump: timedelta) -> None:
    machine = Machine()
    machine.look()
    machine.passes(30)
    machine.source += jump
    after = machine.another()
    assert machine.look(after) == NOON + timedelta(seconds=30)
    assert after.suspicion() is not None


def test_time_in_which_the_process_was_down_has_passed() -> None:
    machine = Machine()
    machine.look()
    machine.passes(7200)
    assert machine.look(machine.another()) == NOON + 2 * HOUR
    assert machine.look(machine.another("another machine")) == NOON + 2 * HOUR


def test_a_clock_set_back_before_another_machine_starts_goes_on_from_where_it_was() -> None:
    machine = Machine()
    machine.look()
    machine.source -= HOUR
    elsewhere = machine.another("another machine")
    assert machine.look(elsewhere) == NOON
    assert elsewhere.suspicion() is not None


def test_replicas_take_a_jump_back_once_and_all_doubt_the_clock() -> None:
    machine = Machine()
    other = machine.another("other")
    machine.look()
    machine.look(other)
    machine.passes(3)
    machine.source += HOUR
    assert machine.look() == machine.look(other) == NOON + timedelta(seconds=3)
    assert machine.clock.offset == other.offset == -HOUR
    assert machine.clock.suspicion() is not None
    assert other.suspicion() is not None


def test_a_replica_that_slept_moves_nobody_s_time() -> None:
    machine = Machine()
    sleeper = AnchoredClock(Ticks(), "sleeper")
    machine.kept = sleeper.judge(machine.source, 0.0, machine.kept)
    sleeper.follow(machine.kept)
    machine.look()
    machine.agrees(seconds=3600)
    machine.kept = sleeper.judge(machine.source, 2.0, machine.kept)  # it counted two seconds of that hour
    sleeper.follow(machine.kept)
    assert sleeper.offset == timedelta()
    assert sleeper.suspicion() is not None
    assert machine.look() == NOON + HOUR
    assert machine.clock.suspicion() is None, "the others looked all the time"


def test_a_mark_survives_being_kept() -> None:
    mark = Mark(NOON, -HOUR, "boot", 12.5, "me", NOON)
    assert Mark.read(mark.text()) == mark
    assert mark.source == NOON + HOUR


def test_what_is_told_of_a_clock() -> None:
    told: list[str] = []

    def on_fact(name: str, **_: object) -> None:
        told.append(name)

    machine = Machine()
    machine.look()
    last = tell_clock(machine.clock, on_fact, Told())
    assert told == ["clock"]
    machine.source += HOUR
    machine.look()
    last = tell_clock(machine.clock, on_fact, last)
    last = tell_clock(machine.clock, on_fact, last)
    assert told == ["clock", "clock_suspect", "clock", "clock"]
    machine.agrees(seconds=CALM.total_seconds())
    tell_clock(machine.clock, on_fact, last)
    assert told[4:] == ["clock_trusted", "clock"]
