"""A courier with an outbox in memory, and a clock that can be moved."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from responder.ports.notifier import Notifier
from responder.tell.courier import Courier
from responder.tell.digest import Storm
from tests.unit.tell.outbox import MemoryOutbox, Moved
from tests.unit.tell.stories import DOCS, URL


@dataclass(slots=True)
class Office:
    """A courier, its outbox and what it said."""

    outbox: MemoryOutbox
    clock: Moved
    courier: Courier
    facts: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    async def work(self) -> None:
        """Take turns until nothing is due any more, then wait for what is in flight."""
        while await self.courier.turn():
            await self.courier.drain()

    async def later(self, seconds: float) -> None:
        """Let time pass, then work."""
        self.clock.advance(seconds)
        await self.work()

    def said(self, name: str) -> list[Mapping[str, object]]:
        return [fields for one, fields in self.facts if one == name]


def office(
    notifiers: Mapping[str, Notifier],
    *,
    storm: Storm | None = None,
    pager: str = "",
    at: Office | None = None,
    **options: float,
) -> Office:
    """Return an office; ``at`` is one whose outbox it shares, as another replica does."""
    clock = Moved() if at is None else at.clock
    outbox = MemoryOutbox(clock) if at is None else at.outbox
    facts: list[tuple[str, Mapping[str, object]]] = []

    def on_fact(name: str, /, **fields: object) -> None:
        facts.append((name, fields))

    courier = Courier(
        outbox,
        clock,
        notifiers,
        docs_of=lambda _: DOCS,
        external_url=URL,
        on_fact=on_fact,
        jitter=lambda: 0.0,
        sleep=clock.sleep,
        turn_seconds=options.get("turn_seconds", 5.0),
        storm=lambda: storm,
        pager=lambda: pager,
    )
    return Office(outbox, clock, courier, facts)
