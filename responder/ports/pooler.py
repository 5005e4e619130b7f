"""A pooler's console as a target."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol


class Pooler(Protocol):
    """One configured console of PgBouncer; nothing is repeated."""

    def behind(self, gate: Callable[[], Awaitable[None]]) -> "Pooler":
        """Return it with a gate that each change passes."""
        ...

    async def read(self, statement: str) -> Sequence[Mapping[str, str]]:
        """Return the rows of a statement, as texts; raises Temporary or Permanent."""
        ...

    async def change(self, statement: str) -> None:
        """Pass the gate and change something, once.

        Raises Permanent when it is refused, Temporary when it cannot be reached, Uncertain when there is no answer.
        """
        ...
