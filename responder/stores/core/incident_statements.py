"""The statements about incidents that ends of runs need: which are concerned, their latches, and whether they are over.

Those that lock do it in the order of keys, so that two transactions never wait for each other in a circle.
"""

from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Select, Update, exists, literal_column, select, union, update

from responder.domain.episodes import HOLDS_OPEN
from responder.stores.core.claims import NOW
from responder.stores.core.database import Database
from responder.stores.schema import HOLDS_INCIDENT, episodes, incidents, run_episodes, runs


class IncidentStatements:
    """The statements over one kind of database."""

    def __init__(self, db: Database) -> None:
        """Build each statement when it is first needed."""
        self._db = db

    @cached_property
    def joined(self) -> Select[Any]:
        """The incidents of the alerts that the runs serve, each once for each run."""
        return (
            select(run_episodes.c.run_id, episodes.c.incident_id)
            .select_from(run_episodes.join(episodes, episodes.c.id == run_episodes.c.episode_id))
            .where(self._db.among(run_episodes.c.run_id, "runs_given"), episodes.c.incident_id != "")
            .distinct()
            .order_by(run_episodes.c.run_id, episodes.c.incident_id)
        )

    def _locked(self, which: ColumnElement[bool]) -> Select[Any]:
        columns = (
            incidents.c.id, incidents.c.needs_person, incidents.c.needs_person_run, incidents.c.resolved_at,
            incidents.c.closed_reason, incidents.c.group_hash, incidents.c.team,
        )  # fmt: skip
        return select(*columns).where(which).order_by(incidents.c.id).with_for_update()

    @cached_property
    def lock(self) -> Select[Any]:
        """The incidents ``incidents_given(key)``, locked."""
        return self._locked(self._db.among(incidents.c.id, "incidents_given"))

    @cached_property
    def lock_latched(self) -> Select[Any]:
        """As ``lock``, and besides those that ask for a person because of the runs ``latched_by(key)``."""
        asking = incidents.alias("asking")
        of_runs = select(asking.c.id).where(
            self._db.among(asking.c.needs_person_run, "latched_by"), asking.c.needs_person_run != literal_column("''")
        )
        given = self._db.given("incidents_given", key=incidents.c.id.type)
        return self._locked(self._db.within(incidents.c.id, union(select(given.c.key), of_runs)))

    @cached_property
    def close_if_over(self) -> Update:
        """Close those of ``incidents_given(key)`` without an open episode, an unfinished run or a need for a person.

        Their rows are locked before, so that of two last runs that end at once the second one sees the first.
        """
        an_episode = select(episodes.c.id).where(
            episodes.c.incident_id == incidents.c.id, episodes.c.state.in_(sorted(one.value for one in HOLDS_OPEN))
        )
        a_run = select(runs.c.id).where(runs.c.incident_id == incidents.c.id, HOLDS_INCIDENT)
        return (
            update(incidents)
            .where(
                self._db.among(incidents.c.id, "incidents_given"),
                incidents.c.resolved_at.is_(None),
                incidents.c.needs_person == "",
                ~exists(an_episode),
                ~exists(a_run),
            )
            .values(resolved_at=NOW, closed_reason="resolved")
            .returning(incidents.c.id)
        )
