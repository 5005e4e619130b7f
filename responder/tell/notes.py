"""What was found out beside the alert, as lines for the message and, where they are long, as entries for its thread."""

import hashlib
from collections.abc import Iterator, Sequence

from responder.domain.findings import Finding
from responder.domain.notification import Account, Entry
from responder.tell.words import short

SHOWN, LINE = 12, 300
ORDER: Sequence[str] = ("past", "diagnose", "chart", "forecast", "anomaly", "changed", "related")
"""Kinds in the order in which they help; what is of no kind here is not written."""


def notes(account: Account) -> tuple[tuple[str, str], ...]:
    """Return (kind, line) of what was found; of several runs' looks only the latest run's."""
    latest = max((run.id for run in account.runs), key=lambda one: _began(account, one), default="")
    shown = [one for one in account.findings if one.kind in ORDER and _current(one, latest)]
    ordered = sorted(shown, key=lambda one: (ORDER.index(one.kind), one.name))
    return tuple((one.kind, short(one.text, LINE)) for one in ordered[:SHOWN])


def _began(account: Account, run_id: str) -> tuple[object, ...]:
    return next((run.created_at, run.id) for run in account.runs if run.id == run_id)


def _current(one: Finding, latest: str) -> bool:
    """Say whether a look is the latest run's, or none of a run at all."""
    if one.kind != "diagnose" or not latest:
        return True
    return one.name.split(":")[1] == latest


def found(account: Account) -> Iterator[Entry]:
    """Give what is too long for the message."""
    for one in account.findings:
        if one.body:
            key = hashlib.sha256(one.body.encode(errors="replace")).hexdigest()[:12]
            yield Entry(f"finding:{one.name}:{key}", one.at, one.text, body=one.body)
