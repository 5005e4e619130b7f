"""Reading ahead: the accounts of incidents that are told one right after the other are read at once."""

from collections.abc import Mapping, Sequence

from responder.domain.errors import StoreError
from responder.domain.notification import Account
from responder.ports.clock import Clock
from responder.ports.store import Outbox, OutboxItem

FRESH_SECONDS = 0.5
"""How long an account that was read is the state now; what changed since is told by the next revision."""


class Ahead:
    """The accounts of the items that a lane tells, in its order."""

    def __init__(self, store: Outbox, clock: Clock, items: Sequence[OutboxItem], *, one_by_one: bool) -> None:
        """``one_by_one``: the lane is paced, so what is read ahead would be stale when its turn comes."""
        self._store = store
        self._clock = clock
        self._items = items
        self._one_by_one = one_by_one
        self._read: Mapping[str, Account] = {}
        self._read_at = 0.0

    async def account(self, place: int) -> Account | None:
        """Return the account for the item at ``place``; None when its incident is no longer there."""
        wanted = self._items[place].incident_id
        now = self._clock.monotonic()
        if wanted not in self._read or now - self._read_at > FRESH_SECONDS:
            self._read, self._read_at = await self._from(place), now
        return self._read.get(wanted)

    async def _from(self, place: int) -> Mapping[str, Account]:
        if not self._one_by_one:
            try:
                return await self._store.accounts([one.incident_id for one in self._items[place:]])
            except StoreError:
                raise
            except Exception:  # noqa: BLE001 - one that cannot be read must not keep the others from being told
                self._one_by_one = True
        return await self._store.accounts([self._items[place].incident_id])
