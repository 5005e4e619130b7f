"""The last look (promise 12): does the sender still show the alert, and show it as active?"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from responder.act.engine import Engine
from responder.domain.alerts import Shown
from responder.domain.errors import StepError
from responder.domain.limits import Refusal
from responder.domain.runs import Run
from responder.domain.verdicts import Verdict
from responder.ports.witness import FRESH_SECONDS, Picture

_REFUSALS = {
    Shown.SILENCED: Verdict.SILENCED,
    Shown.INHIBITED: Verdict.INHIBITED,
    Shown.MISSING: Verdict.NOT_ACTIVE,
}


@dataclass(frozen=True, slots=True)
class LastLook:
    """Why nothing may be done, or when the alert was seen firing (None: its sender cannot be asked)."""

    refusal: Refusal | None = None
    at: datetime | None = None


async def last_look(engine: Engine, run: Run) -> LastLook:
    """Ask the senders of the run's alerts. One that is active, or whose sender cannot be asked, is enough to go on.

    Whatever is not plainly so is a reason to wait.
    """
    if not engine.witness.sources:
        return LastLook()
    alerts = await engine.store.alerts_of(run)
    if not alerts:
        return LastLook(Refusal(Verdict.RESOLVED, Verdict.RESOLVED.sentence))
    if any(source not in engine.witness.sources for source, _ in alerts):
        return LastLook()
    by_source: defaultdict[str, list[str]] = defaultdict(list)
    for source, fingerprint in alerts:
        by_source[source].append(fingerprint)
    # What was shown before the run was begun says nothing of an alert that may be newer than that.
    since_begun = (engine.clock.now() - run.created_at).total_seconds()
    return await _look(engine, run, by_source, min(FRESH_SECONDS, max(since_begun, 0.0)))


async def _look(engine: Engine, run: Run, by_source: Mapping[str, Sequence[str]], within: float) -> LastLook:
    seen: set[Shown] = set()
    unsure = ""
    for source, fingerprints in by_source.items():
        try:
            shown_there = await engine.witness.picture(source, within)
            picture = await _seen_through(engine, run, source, shown_there, fingerprints)
        except StepError as error:
            engine.on_fact("witness_failed", source=source, error=str(error))
            unsure = str(error)
            continue
        age = engine.clock.monotonic() - picture.read_at
        shown = {_shown(picture, one) for one in fingerprints}
        if age > FRESH_SECONDS or Shown.UNCLEAR in shown:
            unsure = unsure or "its answer was not clear"
        if age <= FRESH_SECONDS and Shown.ACTIVE in shown:
            return LastLook(at=engine.clock.now() - timedelta(seconds=age))
        seen |= shown
    if unsure:
        return LastLook(Refusal(Verdict.UNCONFIRMED, f"{Verdict.UNCONFIRMED.sentence} {unsure}"))
    verdict = next(verdict for shown, verdict in _REFUSALS.items() if shown in seen)
    return LastLook(Refusal(verdict, verdict.sentence))


async def _seen_through(
    engine: Engine, run: Run, source: str, picture: Picture, fingerprints: Sequence[str]
) -> Picture:
    """Return the picture without the silences that the run itself has made: they say nothing about its alerts."""
    alerts = {one: picture.alerts[one] for one in fingerprints if one in picture.alerts}
    silenced = {one: alert for one, alert in alerts.items() if alert.shown is Shown.SILENCED and alert.silenced_by}
    if not silenced or not run.effects:
        return picture
    own = set(await engine.witness.silences_of(source, run.id))
    fires = {one: replace(alert, shown=Shown.ACTIVE) for one, alert in silenced.items() if own >= {*alert.silenced_by}}
    return replace(picture, alerts={**alerts, **fires})


def _shown(picture: Picture, fingerprint: str) -> Shown:
    alert = picture.alerts.get(fingerprint)
    return Shown.MISSING if alert is None or alert.shown is None else alert.shown
