"""What was being decided when the store failed: whether it failed, or failed of that, nobody can tell at first.

So what is suspected is decided alone from then on, and waits longer each time the store fails there. Whatever else
waits is decided meanwhile, and nothing is lost: no attempt is counted.
"""

from collections.abc import Iterable
from datetime import timedelta

FIRST, LONGEST = timedelta(seconds=1), timedelta(minutes=5)
MOST = 1000
"""So many are known; of those that another replica has decided meanwhile we never hear."""


class Suspects:
    """How often in a row the store has failed, by what was being decided."""

    def __init__(self) -> None:
        """Start with none."""
        self._times: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Say whether there is any."""
        return bool(self._times)

    def __contains__(self, one: str) -> bool:
        """Say whether something is to be decided alone."""
        return one in self._times

    def strike(self, ids: Iterable[str]) -> None:
        """Count one failure of each."""
        for one in ids:
            self._times[one] = self._times.pop(one, 0) + 1
        while len(self._times) > MOST:
            del self._times[next(iter(self._times))]

    def clear(self, ids: Iterable[str]) -> None:
        """Suspect them no longer: they were decided."""
        for one in ids:
            self._times.pop(one, None)

    def wait(self, one: str) -> timedelta:
        """Return how long to leave something alone; the first time it may be tried again at once."""
        times = self._times.get(one, 0)
        return timedelta() if times <= 1 else min(FIRST * 2 ** min(times - 2, 20), LONGEST)
