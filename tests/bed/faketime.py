"""A server whose clock a test sets: libfaketime in front of its C library, reading the shift from a file."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

_PLACES = ("usr/lib/*/faketime/libfaketime.so.1", "usr/lib/faketime/libfaketime.so.1", "usr/local/lib/faketime/*.so.1")


@dataclass(frozen=True, slots=True)
class FakeTime:
    """Shifts the wall clock of the processes that run with `environment`; their monotonic clock stays."""

    library: Path
    shift: Path

    @property
    def environment(self) -> dict[str, str]:
        """What the processes must be started with."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.shift),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, to: timedelta) -> None:
        """Let the clock be `to` ahead of (or behind) the real one."""
        fresh = self.shift.with_suffix(".new")
        fresh.write_text(f"{to.total_seconds():+.0f}", encoding="ascii")
        fresh.chmod(0o644)
        fresh.replace(self.shift)  # a half-written file would be another time


def faketime(folder: Path) -> FakeTime:
    """Return a clock that goes right until it is told otherwise; FileNotFoundError when the library is missing."""
    found = sorted(path for place in _PLACES for path in Path("/").glob(place))
    if not found:
        raise FileNotFoundError("libfaketime")
    made = FakeTime(found[0], folder / "shift")
    made.jump(timedelta())
    return made
