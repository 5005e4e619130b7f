"""Large deliveries: worked off a slice at a time, side by side, while whatever else comes in is decided first."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from responder.decide.slices import Share
from responder.domain.alerts import Delivery, Notice

LARGE = 800
"""A delivery with more alerts than this to decide is large: they take about as long as anybody else should wait."""
MOST = 8
"""So many are worked off side by side; what is read of them stays in memory."""


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
        """Take a delivery up; False when it must wait, for a place or for one of its group."""
        others = [one for one in self._held.values() if one.delivery.id != delivery.id]
        if len(others) >= MOST or any(_group(one.delivery, one.notice) == _group(delivery, notice) for one in others):
            return False
        # The body was read; of a large one it would be most of what is held.
        self._held[delivery.id] = _Held(replace(delivery, body=b""), notice, min(delivery.cursor, len(notice.alerts)))
        return True

    def shares(self, room: int) -> Sequence[Share]:
        """Return the next part of each, ``room`` alerts together."""
        each = room // max(1, len(self._held))
        return [
            Share(one.delivery, one.notice, one.cursor, one.notice.alerts[one.cursor : one.cursor + each])
            for one in self._held.values()
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
