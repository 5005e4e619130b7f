"""A store: the sum of the ports' parts over one database."""

from typing import Protocol

from responder.stores.core import migrate
from responder.stores.core.aside import AsidePart
from responder.stores.core.binding import BindingPart
from responder.stores.core.brakes import BrakesPart
from responder.stores.core.clock import OnFact
from responder.stores.core.database import Database
from responder.stores.core.digests import DigestPart
from responder.stores.core.effects import EffectsPart
from responder.stores.core.findings import FindingsPart
from responder.stores.core.housekeeping import HousekeepingPart
from responder.stores.core.inbox import InboxPart
from responder.stores.core.outbox import OutboxPart
from responder.stores.core.paging import PagingPart
from responder.stores.core.people import PeoplePart
from responder.stores.core.populations import PopulationsPart
from responder.stores.core.reconciling import ReconcilingPart
from responder.stores.core.runs import RunsPart
from responder.stores.core.sealing import SealingPart
from responder.stores.core.slices import SlicesPart


class Openable(Database, Protocol):
    """A database with its life cycle; its own facts go to ``on_fact``."""

    on_fact: OnFact

    async def open(self) -> None:
        """Connect and migrate."""
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...


class SqlStore(
    InboxPart,
    SlicesPart,
    RunsPart,
    BindingPart,
    EffectsPart,
    OutboxPart,
    DigestPart,
    PeoplePart,
    BrakesPart,
    HousekeepingPart,
    AsidePart,
    PagingPart,
    ReconcilingPart,
    SealingPart,
    PopulationsPart,
    FindingsPart,
):
    """Everything that the verbs need (``ports.store.Store``), over ``db``."""

    def __init__(self, db: Openable) -> None:
        """Work on ``db``; nothing happens before ``open``."""
        super().__init__(db)
        self._life = db

    def listen(self, on_fact: OnFact) -> None:
        """Tell the store's own facts (its clock, its server) to ``on_fact``; call it before ``open``."""
        self._life.on_fact = on_fact

    async def open(self) -> None:
        """Connect, migrate where allowed, take the file lock; raises Unavailable or SettingsError."""
        await self._life.open()

    async def close(self) -> None:
        """Give everything back."""
        await self._life.close()

    async def schema_version(self) -> str:
        """Return the migration the schema is at."""
        async with self.db.reading() as tx:
            return await tx.run_sync(migrate.current)
