"""Wake-ups: work is found by polling, a wake-up only makes it sooner; losing one is harmless."""

from typing import Literal, Protocol

Queue = Literal["deliveries", "episodes", "runs", "outbox", "looks"]


class Wake(Protocol):
    """Says that a queue has work."""

    def notify(self, queue: Queue) -> None:
        """Wake whoever waits for ``queue``; never blocks, never fails."""
        ...

    async def wait(self, queue: Queue, timeout: float) -> None:  # noqa: ASYNC109 - the wait itself is bounded by it
        """Return when ``queue`` was notified since the last wait, or after ``timeout`` seconds."""
        ...
