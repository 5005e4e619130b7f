"""Where runs of one playbook queue before the store would make them: the store authorises them one by one.

Waiting here holds no connection of the store, and uses up nothing of the time between a permission and its use: when
many runs of one playbook come at once, permissions that waited for each other would all be too old.
"""

import asyncio
from collections import defaultdict


class Gate:
    """A lock for each playbook, in this process; between processes the store's own decide."""

    def __init__(self) -> None:
        """Let everybody through."""
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def of(self, playbook: str) -> asyncio.Lock:
        """Return the lock to hold while the store authorises a run of ``playbook``."""
        return self._locks[playbook]
