"""The store's clock goes by monotonic time between anchors."""

from datetime import UTC, datetime, timedelta

import pytest

from responder.stores.core.clock import AnchoredClock

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Ticks:
    """A monotonic clock that goes when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_it_cannot_be_read_before_it_is_anchored() -> None:
    with pytest.raises(RuntimeError):
        AnchoredClock(Ticks()).now()


def test_it_advances_with_monotonic_time() -> None:
    ticks = Ticks()
    clock = AnchoredClock(ticks)
    clock.anchor(NOON, at=ticks.seconds - 1)
    ticks.seconds += 10
    assert clock.now() == NOON + timedelta(seconds=11)


def test_anchoring_again_never_makes_it_read_backwards_by_a_little() -> None:
    ticks = Ticks()
    clock = AnchoredClock(ticks)
    clock.anchor(NOON)
    before = clock.now()
    clock.anchor(NOON - timedelta(milliseconds=3))
    assert clock.now() == before
    ticks.seconds += 1
    assert clock.now() > before


def test_a_jump_is_followed_and_reported() -> None:
    heard: list[timedelta] = []
    clock = AnchoredClock(Ticks())
    clock.anchor(NOON)
    clock.now()
    clock.on_anchor = heard.append
    clock.anchor(NOON - timedelta(hours=1))
    assert heard == [timedelta(hours=-1)]
    assert clock.now() == NOON - timedelta(hours=1)
