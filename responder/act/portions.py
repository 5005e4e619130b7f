"""A gradual step's portions: worked out from what is there, and frozen before anything is changed.

From then on each portion is a step: recorded, judged and undone by itself.
"""

from dataclasses import replace

from pydantic import JsonValue

from responder.act.engine import Engine
from responder.act.plan import names_for, prepare, unplanned
from responder.domain.errors import Permanent, Temporary
from responder.domain.limits import Refusal
from responder.domain.portions import Portion, TooManyPortions
from responder.domain.runs import Run
from responder.domain.verdicts import Verdict
from responder.playbook.model import Playbook, Step


async def portions_of(engine: Engine, run: Run, playbook: Playbook) -> Run | Refusal:
    """Keep with the run in which portions its steps are carried out, or say why that cannot be."""
    found: dict[str, tuple[dict[str, JsonValue], ...]] = {}
    for step in playbook.steps:
        if step.gradual is None:
            continue
        parts = await _portions(engine, run, step, step.gradual.by)
        if isinstance(parts, Refusal):
            return parts
        if len(parts) > 1:
            found[step.id] = parts
    return replace(run, progress=run.progress.model_copy(update={"portions": found})) if found else run


async def _portions(engine: Engine, run: Run, step: Step, by: Portion) -> tuple[dict[str, JsonValue], ...] | Refusal:
    try:
        ready = await prepare(engine, run, step, names_for(run))
        return tuple(part.arguments() for part in ready.action.portions(ready.snapshot.image, by))
    except (Temporary, Permanent) as error:
        return unplanned(error, engine.clock.now())
    except TooManyPortions as error:
        return Refusal(Verdict.TOO_MANY_PORTIONS, f"{Verdict.TOO_MANY_PORTIONS.sentence} step {step.id}: {error}")
    except ValueError as error:
        return Refusal(Verdict.STEP_FAILED, f"step {step.id}: {error}")
