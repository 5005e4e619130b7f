"""``fuzz``: whatever the bytes of a webhook, a playbook, a template or a matcher are, the answer is one we know.

Seeded: a case is a pure function of (surface, seed, chunk, number). What fails is made smaller and printed.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.attack import surfaces

CHUNK = 2_000
"""Cases that one process does in one go."""
SLOW_SECONDS = 1.0
"""What takes longer is a finding: a sender has its answer within a second."""
SHARES: Mapping[str, float] = {"webhook": 0.40, "matchers": 0.30, "templates": 0.22, "playbook": 0.08}
"""How the cases are divided; a playbook takes ten times as long as the others."""
SURFACES: Mapping[str, surfaces.Surface] = {
    "webhook": surfaces.Surface(surfaces.webhook_body, surfaces.read_webhook),
    "playbook": surfaces.Surface(surfaces.playbook_file, surfaces.read_playbook),
    "templates": surfaces.Surface(surfaces.template_text, surfaces.read_template),
    "matchers": surfaces.Surface(surfaces.matchers_text, surfaces.read_matchers),
}
_TRIES = 400


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that is not answered as it should be."""

    surface: str
    seed: str
    error: str
    smallest: bytes

    def __str__(self) -> str:
        return f"{self.surface}, seed {self.seed}: {self.error}\n    {self.smallest!r}"


@dataclass(slots=True)
class Tally:
    """What some cases came to."""

    cases: int = 0
    slowest: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add a part."""
        self.cases += other.cases
        self.slowest = max(self.slowest, other.slowest)
        self.failures += other.failures

    def line(self, seed: int) -> str:
        """Return the line to quote."""
        return (
            f"{self.cases:,} cases over {len(SURFACES)} surfaces (seed {seed}): {len(self.failures)} failures,"
            f" slowest {self.slowest * 1000:.0f} ms"
        )


def fuzz(cases: int, seed: int, processes: int = 2, say: Callable[[str], None] = lambda _: None) -> Tally:
    """Try ``cases`` inputs, or a few more."""
    total = Tally()
    with ProcessPoolExecutor(processes) as pool:
        for number, part in enumerate(pool.map(_chunk, _chunks(cases, seed)), 1):
            total.add(part)
            for failure in part.failures:
                say(str(failure))
            if number % 50 == 0:
                say(total.line(seed))
    return total


def _chunks(cases: int, seed: int) -> Iterator[tuple[str, str, int]]:
    """Yield (surface, seed, cases), the surfaces mixed."""
    left = {name: max(1, round(cases * share)) for name, share in SHARES.items()}
    number = 0
    while any(left.values()):
        for name in SHARES:
            size = min(CHUNK, left[name]) if name != "playbook" else min(CHUNK // 10, left[name])
            if size:
                yield name, f"{seed}.{number}", size
                left[name] -= size
                number += 1


def _chunk(task: tuple[str, str, int]) -> Tally:
    return try_surface(task[0], SURFACES[task[0]], task[1], task[2])


def try_surface(name: str, surface: surfaces.Surface, seed: str, cases: int) -> Tally:
    """Try one surface; its first few failures are made smaller."""
    tally = Tally()
    draw = random.Random(f"{name}.{seed}")  # noqa: S311 -- the same cases each time are the point
    for _ in range(cases):
        data = surface.make(draw)
        began = time.thread_time()
        error = _error(surface, data)
        took = time.thread_time() - began
        tally.cases += 1
        tally.slowest = max(tally.slowest, took)
        if took > SLOW_SECONDS:
            error = error or f"took {took:.1f} s"
        if error and len(tally.failures) < 3:
            tally.failures.append(Failure(name, seed, error, smaller(surface, data, error)))
    return tally


def _error(surface: surfaces.Surface, data: bytes) -> str:
    try:
        surface.read(data)
    except Exception as error:  # noqa: BLE001 -- whatever comes out is the finding
        return f"{type(error).__name__}: {error}"
    return ""


def smaller(surface: surfaces.Surface, data: bytes, error: str) -> bytes:
    """Take pieces out of ``data`` as long as the same kind of error comes out."""
    kind, size, tries = error.partition(":")[0], max(1, len(data) // 2), 0
    while size and tries < _TRIES:
        for start in range(0, len(data), size):
            candidate = data[:start] + data[start + size :]
            tries += 1
            if _error(surface, candidate).partition(":")[0] == kind:
                data = candidate
                break
            if tries >= _TRIES:
                break
        else:
            size //= 2
    return data
