"""What sealing the audit log needs of the store, and of a place outside it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from responder.domain.seals import Head, Verified


class Sealing(Protocol):
    """The sealed segments of the audit log."""

    async def seal_audit(self, limit: int) -> tuple[Head | None, bool]:
        """Seal what has been committed, at most ``limit`` entries; of several replicas one does.

        Returns the newest head there is (None: nothing was ever sealed), and whether there may be more to seal.
        """
        ...

    async def verify_audit(self, heads: Sequence[Head], keep: timedelta) -> Verified:
        """Hold the whole log against its segments and these ``heads``; ``keep`` is how long entries are kept."""
        ...


class Heads(Protocol):
    """Where heads are kept outside the store."""

    async def keep(self, head: Head) -> None:
        """Add a head that is newer than the last one; raises OSError when it cannot be written."""
        ...

    async def kept(self) -> Sequence[Head]:
        """Return all that were kept; raises OSError when there is none to read, ValueError for what is no head."""
        ...
