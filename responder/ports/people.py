"""What people need of the store, through the API and the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import JsonValue

from responder.domain.episodes import Episode
from responder.domain.limits import Pause, Refusal
from responder.domain.notification import Account
from responder.domain.runs import Run
from responder.ports.audit import Audit


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list, newest first; ``next`` is the cursor of the following one, empty at the end."""

    items: Sequence[Mapping[str, JsonValue]]
    next: str = ""


Kind = Literal[
    "incidents", "episodes", "deliveries", "decisions", "runs", "records", "pauses", "approvals", "audit", "outbox"
]


class People(Protocol):
    """What the API and the command line read and ask for. ``actor`` is the name of the authenticated caller."""

    async def page(self, kind: Kind, filters: Mapping[str, str], limit: int, cursor: str) -> Page:
        """List rows as plain JSON; raises ValueError naming an unknown filter."""
        ...

    async def run(self, run_id: str) -> Run | None:
        """Return one run."""
        ...

    async def account(self, incident_id: str) -> Account | None:
        """Return everything about an incident."""
        ...

    async def episodes_matching(self, labels: Mapping[str, str], limit: int) -> Sequence[Episode]:
        """Return the latest episodes that carry all these labels (for ``explain``)."""
        ...

    async def answer(self, run_id: str, approve: bool, actor: str, plan_hash: str, comment: str) -> Refusal | None:  # noqa: FBT001 - the answer itself
        """Approve or reject the open question of a run; refuses when there is none or it expired.

        A yes counts for ``plan_hash`` alone and is refused when the plan differs; a no counts whatever the plan. Where
        two people must say yes, the first leaves the question open. What is refused is in the audit log.
        """
        ...

    async def refuse_answer(self, run_id: str, approve: bool, actor: str, reason: str) -> None:  # noqa: FBT001 - the answer itself
        """Write down that an answer did not count because of who gave it."""
        ...

    async def stop(self, run_id: str, actor: str) -> bool:
        """Ask a run to stop; False when it is over or being taken back. Its ``stop_by`` is whoever asked first."""
        ...

    async def roll_back(self, run_id: str, actor: str, reason: str) -> Run | Refusal:
        """Create a rollback run over the records of a finished run."""
        ...

    async def pause(self, pause: Pause) -> None:
        """Put a pause or halt in force, then make what it affects due."""
        ...

    async def resume(self, which: str, actor: str) -> int:
        """Lift one pause by id, those of a scope, or all with ``all``; returns how many.

        Parked runs and refused episodes become due. This process's own brakes stay, and tripped playbooks.
        """
        ...

    async def reset(self, playbook: str, actor: str) -> bool:
        """Let a playbook that has tripped act by itself again; False when it has not."""
        ...

    async def brakes_in_force(self) -> Sequence[Pause]:
        """Return every brake that this process goes by, its own too, the oldest first."""
        ...

    async def acknowledge(self, incident_id: str, actor: str) -> bool:
        """Clear the needs-a-person latch and take the page that is held back or out; False when there is neither."""
        ...

    async def announce_change(self, actor: str, summary: str, target: str, labels: Mapping[str, str]) -> None:
        """Write down a change that somebody else has made, in the audit log: its retention is that of the log."""
        ...

    async def pressed(self, once: str, press: Audit, incident_id: str) -> bool:
        """Write down a click in a chat, and raise what its incident's destinations are to be told.

        ``once`` names the request: of equal ones, on whichever replica, one is taken up, and False is returned for the
        others. Without an ``incident_id`` nobody is told.
        """
        ...

    async def press_refused(self, refused: Audit, incident_id: str) -> None:
        """Write down that a click did nothing, and raise what its incident's destinations are to be told."""
        ...

    async def clear_quarantine(self, target: str, actor: str) -> bool:
        """Let forward effects at a target again."""
        ...

    async def redrive(self, kind: str, row_id: str, actor: str) -> bool:
        """Bring a dead delivery or outbox item (``incident|destination``) back."""
        ...
