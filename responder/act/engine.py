"""What a turn works with: the store, the tools, the clock and the bounds of a turn."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import JsonValue

from responder.domain.limits import Cap, Refusal
from responder.domain.notification import Approval
from responder.domain.records import Record
from responder.domain.runs import Run
from responder.playbook.model import Playbook
from responder.ports.action import Action
from responder.ports.clock import Clock
from responder.ports.store import Audit, RunEnd, RunStore, Standing
from responder.ports.tools import Tools
from responder.ports.witness import NOBODY, Witness

TURN_SECONDS = 20.0
"""The longest that a turn may take: in its second half it begins no further effect or undo. The lease is 30 s."""
SEND_WITHIN_SECONDS = 0.7
"""Between the authorising read and the send; later, the record is closed and the turn starts again (engine.md)."""
EFFECT_SECONDS = 9.0
"""The longest that one send may take, so that what follows still fits into the lease."""


class OnFact(Protocol):
    """Takes a fact once, to log and to count."""

    def __call__(self, name: str, /, **fields: object) -> None:
        """Note the fact ``name``."""
        ...


def nothing_protected(_: str) -> bool:
    """Stand in where no target is protected."""
    return False


def no_caps(_: Run) -> tuple[Cap, ...]:
    """Stand in where nothing is shared."""
    return ()


async def no_diagnosis(_: Run, __: Playbook) -> None:
    """Stand in where nobody reads what would be found."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Everything act needs of the rest of the world. ``caps_of`` gives what a run shares with others.

    ``diagnose`` takes a playbook's looks for people; it takes a few seconds at most, and raises nothing.
    ``protected`` says whether the configuration keeps a target from all changes.
    """

    store: RunStore
    tools: Tools
    clock: Clock
    playbook_of: Callable[[Run], Awaitable[Playbook | None]]
    holds_secret: Callable[[JsonValue], bool]
    action_of: Callable[[Record], Action]
    on_fact: OnFact
    external_url: str = ""
    witness: Witness = NOBODY
    caps_of: Callable[[Run], tuple[Cap, ...]] = no_caps
    diagnose: Callable[[Run, Playbook], Awaitable[None]] = no_diagnosis
    protected: Callable[[str], bool] = nothing_protected


@dataclass(frozen=True, slots=True)
class Next:
    """What a handler found: the run as it should be kept, and when it goes on.

    ``at`` None: at once, in this turn. ``end`` belongs to a final state, or to one that is kept for a time. ``ask``
    opens an approval. ``standing`` is what the turn knows now, where the handler has changed it.
    """

    run: Run
    at: datetime | None = None
    end: RunEnd | None = None
    ask: Approval | None = None
    audit: tuple[Audit, ...] = ()
    standing: Standing | None = None


def soon(now: datetime, refusal: Refusal | None, otherwise: timedelta) -> datetime:
    """Return when to look again: what the refusal says, bounded to at least a quarter of a second from now."""
    wanted = refusal.retry_at if refusal is not None and refusal.retry_at is not None else now + otherwise
    return max(wanted, now + timedelta(seconds=0.25))
