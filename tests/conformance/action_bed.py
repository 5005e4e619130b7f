"""What an action is held to its contract on: a bed has a target, tools that reach it, and ways to hurt it.

A bed judges by the target itself, never by what the action says. An action joins the suite with a bed that lists its
shapes: see ``bed_http.py``, and ``BEDS`` in ``test_actions.py``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar

import pytest
from pydantic import JsonValue

from responder.app import catalogue
from responder.clients.toolbox import Toolbox
from responder.domain.errors import StepError
from responder.domain.ids import new_id
from responder.domain.records import Direction, Record, RecordState
from responder.ports.action import Action, Landed, Snapshot
from responder.stores.core.types import decode, encode
from tests.bed.proxy import Mode, Proxy
from tests.bed.waiting import eventually

ACTIONS = catalogue().actions
SECRET = "planted-credential-1"


@dataclass(frozen=True)
class Shape:
    """One way to write an action, and what the suite must know of it.

    ``blind`` has no way to read, so nobody can tell whether it landed or drifted. ``replaces`` is one whose target
    drops what lies beside the owned fields. ``target`` is the target key that its calls are given. ``brief`` spares
    it the faults: another shape goes the same way through them. ``binary`` is one whose owned fields have two values,
    so that nobody can edit them to a third. ``single`` is an event that happens to its target and picks nothing.
    """

    action: str
    arguments: Mapping[str, JsonValue]
    blind: bool = False
    replaces: bool = False
    target: str = "t"
    brief: bool = False
    binary: bool = False
    single: bool = False

    @property
    def kind(self) -> type[Action]:
        return ACTIONS[self.action]

    @property
    def restores(self) -> bool:
        return self.kind.undoes != "impossible"

    def make(self) -> Action:
        return self.kind.model_validate(self.arguments)


class Bed(ABC):
    """A target as one test has it. Faults are of the next send of a change, or of the next reads."""

    landing: ClassVar[tuple[str, ...]]
    """Faults after which the change is there and its answer is not."""
    losing: ClassVar[tuple[str, ...]]
    """Faults after which the change is not there and nobody was told so."""
    refusals: ClassVar[Mapping[str, type[StepError]]]
    """Faults by which the target refuses, and what that is: certainly not applied."""
    unreadable: ClassVar[tuple[str, ...]]
    """Faults by which the target cannot be read."""
    telling: ClassVar[tuple[str, ...]] = ("",)
    """Faults whose words might hold a credential; empty is none."""
    stalls: ClassVar[bool] = True
    """Whether the target can be made so slow that a send is cancelled before it has its effect."""

    tools: Toolbox
    """Patient tools: whoever only looks has patience with a busy machine."""
    hasty: Toolbox
    """Tools that soon give up on a target that hangs."""

    @abstractmethod
    async def world(self) -> JsonValue:
        """Return everything at the target that an action here could change, its own or not."""

    @abstractmethod
    async def changes(self) -> int:
        """Return how many changes have had their effect so far, by the target's own account."""

    @abstractmethod
    async def holds(self, image: JsonValue) -> bool:
        """Say whether the target is as an image says: an after-image, or a before-image that was put back."""

    @abstractmethod
    async def fault(self, kind: str) -> None:
        """Let the next send of a change fail as ``kind`` says."""

    @abstractmethod
    async def unread(self, kind: str) -> None:
        """Let the target be unreadable as ``kind`` says: the next read, or all until ``heal``."""

    @abstractmethod
    async def heal(self) -> None:
        """End every fault."""

    @abstractmethod
    async def edit_owned(self) -> None:
        """Let somebody else change what the action owns, to what it neither was nor becomes.

        For an event: let what it is to happen to be something else by now (a session at work again).
        """

    @abstractmethod
    async def edit_beside(self) -> None:
        """Let somebody else change what lies beside it. For an event: something more that it would have picked."""

    async def stall(self) -> None:
        """Make the target so slow that a send takes ten seconds; ``heal`` ends it."""
        raise NotImplementedError

    async def used_credentials(self) -> bool:
        """Say whether the target was shown ``SECRET``, where it can tell."""
        return True


class ProxiedBed(Bed):
    """A real server behind a proxy that harms the next request."""

    proxy: Proxy

    async def unread(self, kind: str) -> None:
        """Harm whatever comes next."""
        await self.fault(kind)

    async def heal(self) -> None:
        """Let everything pass; what was swallowed meanwhile is cut off, not carried out late."""
        if self.proxy.mode is Mode.BLACKHOLE:
            await self.proxy.switch(Mode.RESET)
        await self.proxy.switch(Mode.PASS)

    async def stall(self) -> None:
        """Swallow everything."""
        await self.proxy.switch(Mode.BLACKHOLE)


@dataclass(frozen=True)
class BedKind:
    """A kind of bed: the shapes of its actions, and how one is opened for a shape; ``server`` needs a real one."""

    shapes: Mapping[str, Shape]
    kind: type[Bed]
    open: Callable[[pytest.FixtureRequest, Shape], AbstractAsyncContextManager[Bed]]
    server: bool = False


def stored(value: JsonValue) -> JsonValue:
    """Return a value as it comes back from a store."""
    return decode(encode(value))


def stored_object(value: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """Return an object as it comes back from a store."""
    kept = stored(dict(value))
    assert isinstance(kept, dict)
    return kept


def record_of(action: Action, snapshot: Snapshot, target: str = "t") -> Record:
    """Return the record as it comes back from a store."""
    return Record(
        id=new_id(),
        run_id="run",
        index=0,
        step="it",
        action=action.name,
        target=target,
        arguments=stored_object(action.arguments()),
        before=stored(snapshot.image),
        planned=stored(action.change(snapshot.image)),
        state=RecordState.INTENDED,
        created_at=datetime.now(UTC),
        fence=snapshot.fence,
    )


async def intended(action: Action, tools: Toolbox, target: str = "t") -> Record:
    """Look and record."""
    return record_of(action, await action.snapshot(target, tools), target)


async def applied(action: Action, tools: Toolbox, target: str = "t") -> Record:
    """Look, record and send."""
    record = await intended(action, tools, target)
    return replace(record, state=RecordState.APPLIED, observed=stored(await action.apply(target, record, tools)))


async def landed(action: Action, record: Record, direction: Direction, tools: Toolbox) -> Landed:
    """Ask whether it is there; while it is under way, again."""

    async def ended() -> Landed | None:
        found = await action.landed(record.target, record, direction, tools)
        return None if found is Landed.RUNNING else found

    return await eventually(ended) or Landed.RUNNING
