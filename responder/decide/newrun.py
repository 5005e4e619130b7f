"""A run as decide creates it: everything frozen that its turns will need."""

from datetime import datetime

from responder.decide.options import Option
from responder.domain.causes import Cause
from responder.domain.episodes import Episode
from responder.domain.ids import new_id
from responder.domain.runs import Context, Run, RunState
from responder.playbook.times import time_allowed

NO_CAUSE = Cause()


def new_run(
    option: Option, episode: Episode, team: str, now: datetime, cause: Cause = NO_CAUSE, *, skipped: int = 0
) -> Run:
    """Return the run of ``option`` for ``episode`` of ``team``, due at once, pinned to the playbook as it is now.

    So many runs before it were ``skipped`` in a row.
    """
    playbook = option.playbook
    return Run(
        id=new_id(),
        kind="forward",
        playbook=playbook.name,
        revision=playbook.revision,
        target=option.target,
        state=RunState.RESOLVING,
        mode=option.mode,
        severity=episode.severity,
        incident_id=episode.incident_id,
        context=Context(
            source=episode.source,
            fingerprint=episode.fingerprint,
            labels=dict(episode.labels),
            annotations=dict(episode.annotations),
            generator_url=episode.generator_url,
            connection=option.connection,
            team=team,
            skipped=skipped,
        ),
        created_at=now,
        due_at=now,
        deadline=now + time_allowed(playbook, option.mode),
        caused_by=cause.run,
        depth=cause.depth,
    )
