"""What the store keeps of what was found out about incidents, and which are still to be looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import JsonValue

from responder.domain.findings import Finding
from responder.domain.runs import RunState

YOUNG = timedelta(minutes=15)
"""An incident that nobody has looked at for so long is not looked at any more: it is late for that, or a storm."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run that has changed something and is over: how it ended, and how long it took until then."""

    state: RunState
    took: timedelta


@dataclass(frozen=True, slots=True)
class Nearby:
    """Another incident, with the labels of its first alert."""

    incident: str
    opened_at: datetime
    open: bool
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Touched:
    """A change of ours at a target, when it was made, and when it was undone, None while it was not."""

    record: str
    run: str
    playbook: str
    target: str
    step: str
    at: datetime
    before: JsonValue
    after: JsonValue
    undone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Announced:
    """A change that somebody else has made and said so: ``target`` or ``labels`` say what of."""

    seq: int
    at: datetime
    by: str
    summary: str
    target: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


class FindingsStore(Protocol):
    """Where findings are kept. All of it may be lost without harm: nothing is decided by it."""

    async def claim_looks(self, limit: int) -> Sequence[str]:
        """Take incidents that are to be looked at, the most severe first; each is another's again after a lease."""
        ...

    async def looked(self, incident_id: str, found: Sequence[Finding], again: timedelta | None) -> bool:
        """Keep what was found and look again after ``again`` (None: not any more); says whether anything is new.

        What is new raises what the incident's destinations are to be told.
        """
        ...

    async def found(self, incident_id: str, found: Sequence[Finding]) -> bool:
        """Keep what was found elsewhere, such as at the beginning of a run; says whether anything is new."""
        ...

    async def past(self, playbook: str, since: datetime) -> Sequence[PastRun]:
        """Return the runs of a playbook that changed something and ended after ``since``, the latest first."""
        ...

    async def nearby(self, incident_id: str, since: datetime) -> Sequence[Nearby]:
        """Return the other incidents that were opened after ``since``, the latest first."""
        ...

    async def announced(self, since: datetime, until: datetime) -> Sequence[Announced]:
        """Return the changes of others that were announced in between, the latest first."""
        ...

    async def touched(self, since: datetime, until: datetime) -> Sequence[Touched]:
        """Return what was changed in between, the latest first."""
        ...
