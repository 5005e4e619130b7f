"""Large deliveries: worked off a slice at a time, side by side, while whatever else comes in is decided first."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from responder.decide.slices import Share
from responder.domain.alerts import Delivery, Notice

LARGE = 800
"""A delivery with more alerts than this to decide is large: they take about as long as anybody else should wait."""
MOST = 8
"""So many are held, with those behind them; what is read of them stays in memory."""
MOST_ALERTS = 100_000
"""So many alerts are held, or one delivery: one has some kilobytes here."""


@dataclass(slots=True)
class _Held:
    delivery: Delivery
    notice: Notice
    cursor: int


class Large:
    """The large deliveries that this process has claimed; each slice of one makes its lease last longer."""

    def __init__(self) -> None:
        """Start with none."""
        self._held: dict[str, _Held] = {}

    def __bool__(self) -> bool:
        """Say whether there is any."""
        return bool(self._held)

    def concerns(self, delivery: Delivery, notice: Notice) -> bool:
        """Say whether a delivery is large, or has to wait for a large one of its group."""
        large = len(notice.alerts) - delivery.cursor > LARGE
        return large or _group(delivery, notice) in {_group(one.delivery, one.notice) for one in self._held.values()}

    def take(self, delivery: Delivery, notice: Notice) -> bool:
        """Take a delivery up; False when there are too many."""
        others = [len(one.notice.alerts) for one in self._held.values() if one.delivery.id != delivery.id]
        if len(others) >= MOST or (others and sum(others) + len(notice.alerts) > MOST_ALERTS):
            return False
        # The body was read; of a large one it would be most of what is held.
        self._held[delivery.id] = _Held(replace(delivery, body=b""), notice, min(delivery.cursor, len(notice.alerts)))
        return True

    def shares(self, room: int) -> Sequence[Share]:
        """Return the next part of the first delivery of each group, ``room`` alerts together.

        Of those behind them it is an empty part: it makes their leases last, too.
        """
        first = {_group(one.delivery, one.notice): one for one in reversed(self._held.values())}
        each = room // max(1, len(first))
        leads = {one.delivery.id for one in first.values()}
        return [
            Share(one.delivery, one.notice, one.cursor, one.notice.alerts[one.cursor :][: each if key in leads else 0])
            for key, one in self._held.items()
        ]

    def decided(self, shares: Sequence[Share], behind: Collection[str]) -> None:
        """Note what was decided; those that stay ``behind`` were given back."""
        for share in shares:
            progress = share.progress()
            if progress.done or progress.id in behind:
                self._held.pop(progress.id, None)
            else:
                self._held[progress.id].cursor = progress.cursor

    def forget(self) -> None:
        """Hold nothing any more: the claims were given back."""
        self._held.clear()


def _group(delivery: Delivery, notice: Notice) -> tuple[str, str, str]:
    return delivery.source, notice.receiver, notice.group_key
