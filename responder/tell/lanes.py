"""Lanes: one for each destination, so that a slow, strict or broken one delays no other."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from responder.ports.notifier import Destination

PACES: Mapping[str, timedelta] = {
    "slack": timedelta(seconds=1),
    "slack_picture": timedelta(seconds=3),  # a message always finds room in between
    "pagerduty": timedelta(seconds=0.5),
}
"""The least time between two tellings by kind: Slack takes about one message a second and channel (docs.slack.dev,
rate limits), PagerDuty about 120 events a minute and integration key (developer.pagerduty.com, rate limits)."""
OPEN_AFTER = 3
"""So many failures in a row are the channel's, not the message's."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_MOST_DOUBLINGS = 16


def back_off(failures: int, jitter: float) -> float:
    """Return the seconds to wait after ``failures`` in a row: 1, 2, 4 … 60, less up to half by ``jitter`` (0 to 1)."""
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(max(failures, 1) - 1, _MOST_DOUBLINGS))
    return longest * (1 - jitter / 2)


@dataclass(slots=True)
class Lane:
    """What is known of one destination. ``free_at`` is on the monotonic clock; ``failures`` are those in a row."""

    destination: Destination
    free_at: float = 0.0
    failures: int = 0
    task: "asyncio.Task[None] | None" = None

    @property
    def pace(self) -> float:
        """Seconds from one telling to the next."""
        return PACES.get(self.destination.kind, timedelta()).total_seconds()

    @property
    def broken(self) -> bool:
        """Whether the channel itself seems to be down: then waiting is no message's fault."""
        return self.failures >= OPEN_AFTER

    def closed(self, now: float) -> bool:
        """Say whether nothing may be sent at ``now``: something is in flight, or it must wait."""
        return self.task is not None or now < self.free_at

    def worked(self, now: float) -> None:
        """Note that the channel answered."""
        self.failures = 0
        self.wait(now, self.pace)

    def failed(self, now: float, jitter: float) -> None:
        """Note a failure; from the third in a row on, the whole destination waits."""
        self.failures += 1
        self.wait(now, back_off(self.failures - OPEN_AFTER + 1, jitter) if self.broken else self.pace)

    def wait(self, now: float, seconds: float) -> None:
        """Send nothing before ``seconds`` from ``now``."""
        self.free_at = max(self.free_at, now + seconds)
