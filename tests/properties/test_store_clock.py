"""The store's clock under whatever its source, its machines and its processes do."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from responder.stores.core.clock import CALM, TOLERANCE, AnchoredClock, Mark

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = 3600.0
LOOK = 5.0
"""The longest between two looks."""


@dataclass
class Replica:
    """One process, and what it read last."""

    clock: AnchoredClock
    read: datetime | None = None


@dataclass
class World:
    """Replicas on one machine over one source. ``real`` is how much time has really passed, which nobody can read."""

    replicas: int
    real: float = 0.0
    shift: float = 0.0
    kept: Mark | None = None
    running: list[Replica] = field(default_factory=list)
    seen: list[tuple[float, datetime]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.running = [self._process() for _ in range(self.replicas)]
        self.pass_time(0.0)

    def _process(self) -> Replica:
        return Replica(AnchoredClock(lambda: self.real, "boot"))

    def restart(self, which: int) -> None:
        self.running[which % self.replicas] = self._process()
        self.look(self.running[which % self.replicas])

    def look(self, replica: Replica) -> None:
        source = NOON + timedelta(seconds=self.real + self.shift)
        self.kept = replica.clock.judge(source, self.real, self.kept)
        replica.clock.follow(self.kept)

    def pass_time(self, seconds: float) -> None:
        """Let time pass; every replica looks, and what it reads never goes back."""
        self.real += seconds
        for replica in self.running:
            self.look(replica)
            now = replica.clock.now()
            assert replica.read is None or now >= replica.read
            replica.read = now
            self.seen.append((self.real, now))


PASS = st.tuples(st.just("pass"), st.floats(0.1, LOOK))
JUMP = st.tuples(st.just("jump"), st.floats(-HOUR, HOUR))
DRIFT = st.tuples(st.just("drift"), st.floats(-0.05, 0.05))
RESTART = st.tuples(st.just("restart"), st.floats(0, 3))
EVENTS = st.lists(st.one_of(PASS, PASS, PASS, JUMP, DRIFT, RESTART), max_size=60)


def _lived(replicas: int, events: list[tuple[str, float]]) -> World:
    world = World(replicas)
    for what, much in events:
        if what == "pass":
            world.pass_time(much)
        elif what == "restart":
            world.restart(int(much))
        else:
            world.shift += much
    return world


def _may_be_followed(seconds: float) -> float:
    """Return by how much the store's time may differ from the real one over a span: the tolerance, each minute."""
    return TOLERANCE.total_seconds() * (seconds / CALM.total_seconds() + 2)


@given(EVENTS)
def test_no_window_shrinks_or_grows_beyond_the_tolerance(events: list[tuple[str, float]]) -> None:
    world = _lived(1, events)
    for began, first in world.seen:
        for ended, last in world.seen:
            if ended <= began:
                continue
            off = (last - first).total_seconds() - (ended - began)
            assert abs(off) <= _may_be_followed(ended - began), (began, ended, off)


@given(st.integers(2, 3), EVENTS)
def test_replicas_agree_and_none_reads_backwards(replicas: int, events: list[tuple[str, float]]) -> None:
    world = _lived(replicas, events)
    world.pass_time(1.0)
    last = [replica.read for replica in world.running if replica.read is not None]
    assert max(last) - min(last) <= 2 * TOLERANCE


@given(EVENTS)
def test_a_jump_is_doubted_and_a_minute_of_agreement_clears_it(events: list[tuple[str, float]]) -> None:
    world = _lived(1, events)
    (replica,) = world.running
    world.shift += 10.0
    world.pass_time(1.0)
    assert replica.clock.suspicion() is not None
    for _ in range(int(2 * CALM.total_seconds() / LOOK) + 1):
        world.pass_time(LOOK)
    assert replica.clock.suspicion() is None


@given(st.lists(st.one_of(PASS, st.tuples(st.just("drift"), st.floats(-0.01, 0.01))), max_size=40))
def test_drift_alone_is_never_a_jump(events: list[tuple[str, float]]) -> None:
    world = _lived(1, events)
    assert world.running[0].clock.suspicion() is None
    assert world.running[0].clock.offset == timedelta()
