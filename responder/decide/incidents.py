"""From episodes to incidents: what belongs together in people's eyes. Pure; the slice reads and writes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from responder.domain.alerts import Severity, worst
from responder.domain.episodes import HOLDS_OPEN, Episode, Group, Incident
from responder.domain.ids import new_id

RESOLVED, REGROUPED = "resolved", "regrouped"


class Shelf:
    """The incidents of one slice: those that were read, and what becomes of them."""

    def __init__(self, known: Iterable[Incident], now: datetime) -> None:
        """Start with the open incidents of the slice's groups and those of its episodes."""
        self._now = now
        self.by_id: dict[str, Incident] = {}
        self._open: dict[tuple[str, str, str, str], str] = {}
        self.created: set[str] = set()
        self.touched: set[str] = set()
        self.moved: dict[str, str] = {}
        self.changed: set[str] = set()
        for incident in known:
            self._keep(incident)

    def _keep(self, incident: Incident) -> None:
        self.by_id[incident.id] = incident
        if incident.open:
            self._open[incident.source, incident.receiver, incident.group_key, incident.team] = incident.id

    def place(self, episode: Episode, group: Group, team: str) -> Episode:
        """Return an open episode within its incident: the one it is in, another of its receiver, or a new one."""
        current = self.by_id.get(episode.incident_id)
        standing = current is not None and current.open
        if current is not None and standing:
            here = (current.source, current.receiver) == (group.source, group.receiver)
            if not here or current.group_key == group.group_key:
                # Another receiver hears of the same alert: one incident is enough.
                self.touched.add(current.id)
                return episode
            self.touched.add(current.id)
        incident_id = self._open.get((group.source, group.receiver, group.group_key, team))
        if incident_id is None:
            incident_id = self._create(episode, group, team)
        if current is not None and standing:
            self.moved[current.id] = incident_id
        self.moved.pop(incident_id, None)  # what somebody moves into is not left empty: chains end, and never circle
        self.touched.add(incident_id)
        return replace(episode, incident_id=incident_id)

    def _create(self, episode: Episode, group: Group, team: str) -> str:
        incident = Incident(
            id=new_id(),
            source=group.source,
            receiver=group.receiver,
            group_key=group.group_key,
            group_labels=group.labels,
            external_url=group.external_url,
            severity=episode.severity,
            opened_at=self._now,
            team=team,
        )
        self._keep(incident)
        self.created.add(incident.id)
        self.changed.add(incident.id)
        return incident.id

    def need_person(self, incident_id: str, reason: str, run_id: str) -> bool:
        """Latch that a person is needed; the first reason stands. Says whether it is news."""
        incident = self.by_id.get(incident_id)
        if incident is None or incident.needs_person:
            return False
        self.by_id[incident_id] = replace(incident, needs_person=reason, needs_person_run=run_id)
        self.changed.add(incident_id)
        return True

    def settled_by(self, incident_id: str, ours: Sequence[Episode]) -> bool:
        """Say whether an incident stands as it is whatever the slice has not read of it.

        So it is while one of the slice's episodes fires that is as severe as the incident: that is as severe as the
        worst of its episodes. A large incident would otherwise be read anew for each slice of it.
        """
        incident = self.by_id[incident_id]
        return any(one.state in HOLDS_OPEN and one.severity is incident.severity for one in ours) and not any(
            one.state in HOLDS_OPEN and one.severity.rank < incident.severity.rank for one in ours
        )

    def settle(self, incident_id: str, ours: Sequence[Episode], others: Severity | None, unfinished: int) -> None:
        """Bring an incident in line with its episodes: its severity, and whether it is over.

        ``others`` is the worst severity of those that fire and are not among ``ours``, None when none does.
        """
        incident = self.by_id[incident_id]
        if not incident.open:
            return
        firing = [episode.severity for episode in ours if episode.state in HOLDS_OPEN]
        firing += [others] if others is not None else []
        severity = worst(firing) if firing else incident.severity
        settled = incident if severity is incident.severity else replace(incident, severity=severity)
        if not firing and not unfinished and not incident.needs_person:
            reason = REGROUPED if incident_id in self.moved else RESOLVED
            settled = replace(settled, resolved_at=self._now, closed_reason=reason)
        if settled is not incident:
            self.by_id[incident_id] = settled
            self.changed.add(incident_id)

    def heir(self, incident_id: str) -> str:
        """Return the incident that takes over from one that closed as regrouped, empty for any other."""
        if self.by_id[incident_id].closed_reason != REGROUPED:
            return ""
        heir = self.moved[incident_id]
        while self.by_id[heir].closed_reason == REGROUPED and heir in self.moved:
            heir = self.moved[heir]
        return heir
