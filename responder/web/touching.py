"""Which brakes may touch the alerts that are explained: one on something else says nothing about them.

In doubt a brake is named: one too many costs a line, one that is missing makes a refusal unexplained.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import cast

from pydantic import JsonValue

from responder.domain.limits import Pause, Subject

Row = Mapping[str, JsonValue]
Actions = Mapping[str, Sequence[str]]
"""The actions of each playbook in use, by its name."""


def touching(pauses: Iterable[Pause], subjects: Sequence[Subject], now: datetime) -> list[Pause]:
    """Return the brakes that cover one of ``subjects``; what has no target yet, every brake on targets covers."""
    return [one for one in pauses if any(_touches(one, subject, now) for subject in subjects)]


def _touches(pause: Pause, subject: Subject, now: datetime) -> bool:
    return pause.covers(subject, now) or (not subject.target and pause.scope.startswith("target:"))


def subjects_of(story: Row, candidates: Iterable[str], actions: Actions) -> Iterator[Subject]:
    """Give what could be done, or was done, about the alert of a story: ``candidates`` are its playbooks now."""
    incident = cast("Row", story.get("incident") or {})
    team, incident_id = (cast("str | None", incident.get(name)) for name in ("team", "id"))
    targets: dict[str, set[str]] = {name: set() for name in candidates}
    for one in (*_rows(story, "decisions"), *_rows(story, "runs")):
        if one.get("playbook"):
            targets.setdefault(str(one["playbook"]), set()).add(str(one.get("target") or ""))
    for name, known in targets.items():
        for target in known or {""}:
            yield Subject(name, target, team, tuple(actions.get(name, ())), incident_id)


def _rows(story: Row, name: str) -> Sequence[Row]:
    return cast("Sequence[Row]", story.get(name) or ())
