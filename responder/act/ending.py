"""What a step has begun and what goes on by itself: its end is looked for, and nothing is changed for it.

The effect has landed and is recorded as such. Only the step is not over: it ends with what it has begun, or with its
own timeout. How that ended is kept in the record, so that it is asked once, whichever turn dies when.
"""

from collections.abc import Mapping
from dataclasses import replace

from pydantic import JsonValue

from responder.act.effects import bounded
from responder.act.ends import under_way
from responder.act.engine import EFFECT_SECONDS, Engine, Next
from responder.domain.errors import Permanent, StepError
from responder.domain.records import Record
from responder.domain.runs import Run
from responder.domain.sentences import sentences
from responder.language.durations import human_duration
from responder.playbook.model import Step
from responder.ports.action import Action, End
from responder.ports.store import Standing

ENDED, WHY, LOG = "ended", "why", "log"
"""Where the record of an action that waits keeps it, in what was observed."""


async def awaited(engine: Engine, run: Run, step: Step, record: Record, standing: Standing) -> str | Next:
    """Return why what an applied record has begun is no success, empty for one; or how the run goes on until then."""
    action = engine.action_of(record)
    if not action.waits():
        return ""
    if ENDED in _observed(record):
        return _failure(record)
    late = standing.now >= record.created_at + step.timeout
    end = await _end(engine, run, action, record)
    if isinstance(end, Permanent):
        end = End(f"nobody can tell how it ended: {end}")
    if end is None or isinstance(end, StepError):
        if not late:
            why = "waits for its end" if end is None else str(end)
            return under_way(replace(run, reason=f"step {step.id}: {why}"), standing)
        gone = "it goes on" if end is None else f"nobody can tell whether it does: {end}"
        end = End(f"it has not ended within {human_duration(step.timeout)}; {gone}")
    kept = replace(record, observed=_with(engine, record, end))
    await engine.store.settle(run, kept)
    known = tuple(kept if one.id == kept.id else one for one in standing.records)
    return Next(replace(run, reason=""), standing=replace(standing, records=known))


async def _end(engine: Engine, run: Run, action: Action, record: Record) -> End | StepError | None:
    try:
        return await bounded(action.ended(run.target, record, engine.tools), EFFECT_SECONDS)
    except StepError as error:
        return error


def _failure(record: Record) -> str:
    """Return why it is no success, with the last thing that it wrote."""
    observed = _observed(record)
    why, log = observed.get(WHY, ""), observed.get(LOG, "")
    last = str(log).rpartition("\n")[2]
    return sentences(str(why), f"Its last line: {last}" if last else "") if why else ""


def _with(engine: Engine, record: Record, end: End) -> JsonValue:
    log = end.log if not engine.holds_secret(end.log) else "(left out: it holds a credential)"
    told: dict[str, JsonValue] = {ENDED: "failed" if end.why else "well", WHY: end.why, LOG: log}
    return {**_observed(record), **end.seen, **{name: value for name, value in told.items() if value}}


def _observed(record: Record) -> Mapping[str, JsonValue]:
    return record.observed if isinstance(record.observed, Mapping) else {}
