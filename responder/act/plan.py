"""Plans: what a run would change, computed by reading only; and the hash that people approve."""

import asyncio
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import JsonValue

from responder.act.engine import EFFECT_SECONDS, Engine
from responder.act.later import told
from responder.domain.errors import Permanent, Reconciled, Temporary
from responder.domain.limits import Refusal
from responder.domain.runs import PlannedStep, Run
from responder.domain.verdicts import Verdict
from responder.playbook.model import Playbook, Step
from responder.playbook.render import render_arguments
from responder.ports.action import Action, Snapshot


@dataclass(frozen=True, slots=True)
class Prepared:
    """One step ready to be recorded: the action with its rendered arguments, what is there now, what will be.

    ``read_at`` is the monotonic time of the snapshot.
    """

    step: Step
    action: Action
    snapshot: Snapshot
    after: JsonValue
    read_at: float

    @property
    def changes_nothing(self) -> bool:
        """Whether a state action finds everything as it wants it."""
        return self.action.effect == "state" and self.snapshot.image == self.after

    @property
    def _undo(self) -> str:
        return "" if self.step.undo == "automatic" else f"undo: {self.step.undo}"

    def planned(self) -> PlannedStep:
        """Return the step as people see it."""
        return PlannedStep(
            id=self.step.id,
            action=self.action.name,
            arguments=self.action.arguments(),
            before=self.snapshot.image,
            after=self.after,
            note="; ".join(filter(None, (self._undo, self.snapshot.note))),
        )


def names_for(run: Run, done: Mapping[str, Mapping[str, JsonValue]] | None = None) -> dict[str, object]:
    """Return what templates may name: the frozen labels of the first alert and the images of earlier steps."""
    return {
        "labels": run.context.labels,
        "annotations": run.context.annotations,
        "connection": run.context.connection,
        "owner": run.progress.owner,
        "steps": dict(done or {}),
    }


async def prepare(engine: Engine, run: Run, step: Step, names: Mapping[str, object]) -> Prepared:
    """Read what a step would change.

    Raises Permanent when its arguments or bounds do not allow it, Temporary when the target cannot be read now.
    """
    try:
        action = render_arguments(step, names if step.item is None else {**names, "item": step.item})
    except ValueError as error:
        msg = f"step {step.id}: {error}"
        raise Permanent(msg) from error
    elsewhere = action.elsewhere(run.target)
    if elsewhere:
        raise Permanent(f"step {step.id} changes {elsewhere}, and the run's target is {run.target}")
    read_at = engine.clock.monotonic()
    try:
        async with asyncio.timeout(EFFECT_SECONDS):
            snapshot = await action.snapshot(run.target, engine.tools)
    except TimeoutError as error:
        msg = f"step {step.id}: the target did not answer within {EFFECT_SECONDS:g} s"
        raise Temporary(msg) from error
    try:
        after = action.change(snapshot.image)
    except ValueError as error:
        msg = f"step {step.id}: {error}"
        raise Permanent(msg) from error
    if engine.holds_secret(snapshot.image) or engine.holds_secret(after):
        raise WouldRecordSecret(step.id)
    return Prepared(step, action, snapshot, after, read_at)


def _continued(step: Step, before: Prepared) -> Prepared:
    """Plan a portion from where the one before it stops; it is read again before it is sent."""
    action = render_arguments(step, {})
    return Prepared(step, action, Snapshot(before.after), action.change(before.after), -math.inf)


def _behind(ready: Prepared, earlier: Sequence[Prepared]) -> Prepared:
    """Plan a step from what the steps before it leave of what it changes; it is read again before it is sent.

    Raises Permanent when its bounds do not allow that.
    """
    image = ready.snapshot.image
    for one in earlier:
        if isinstance(image, Mapping) and isinstance(one.after, Mapping) and ready.action.goes_on_from(one.action):
            image = {key: one.after.get(key, value) for key, value in image.items()}
    if image == ready.snapshot.image:
        return ready
    try:
        after = ready.action.change(image)
    except ValueError as error:
        msg = f"step {ready.step.id}: {error}"
        raise Permanent(msg) from error
    return replace(ready, snapshot=replace(ready.snapshot, image=image), after=after, read_at=-math.inf)


class WouldRecordSecret(Permanent):
    """The images hold a registered secret: without encryption at rest they are not written down."""

    def __init__(self, step: str) -> None:
        """Name the step, never the value."""
        super().__init__(f"step {step}: the rollback record would hold a secret value; take it out of the owned fields")


async def plan(engine: Engine, run: Run, playbook: Playbook) -> tuple[Prepared, ...]:
    """Prepare every step; those to come see the planned images of earlier ones, also where they change the same."""
    done: dict[str, Mapping[str, JsonValue]] = {}
    prepared: list[Prepared] = []
    stays = not playbook.escalates or playbook.on_failure == "keep"  # else it is undone before the next has its turn
    for step in playbook.steps:
        to_come = prepared[run.progress.step :]
        if step.portion > 1 and to_come:
            ready = _continued(step, to_come[-1])
        else:
            ready = await prepare(engine, run, step, names_for(run, done))
            ready = _behind(ready, to_come if stays else ())
        done[step.id] = {"before": ready.snapshot.image, "after": ready.after}
        prepared.append(ready)
    return tuple(prepared)


def plan_hash(run: Run, steps: Sequence[PlannedStep]) -> str:
    """Return the SHA-256 of what is approved: revision, target and every step with its images."""
    account = {
        "revision": run.revision,
        "target": run.target,
        "steps": [step.model_dump(mode="json") for step in steps],
    }
    return hashlib.sha256(json.dumps(account, sort_keys=True).encode()).hexdigest()


def unplanned(error: Temporary | Permanent, now: datetime) -> Refusal:
    """Say what it means that a plan could not be computed, and until when the target asks to be left alone."""
    match error:
        case Temporary():
            until = now + error.retry_after if error.retry_after else None
            return Refusal(Verdict.TEMPORARY, told(str(error), error.retry_after), until)
        case Reconciled():
            return Refusal(Verdict.RECONCILED, f"{Verdict.RECONCILED.sentence} {error}")
        case Permanent():
            return Refusal(Verdict.STEP_FAILED, str(error))
