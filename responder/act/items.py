"""What a step is done to, one by one: found by a probe and frozen before anything is changed (promise 9).

A list that is empty, cannot be read, is longer than it may be, or names something twice means no effect at all.
"""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import JsonValue

from responder.act.effects import bounded
from responder.act.engine import Engine
from responder.act.look import LOOK_SECONDS, labels_of
from responder.act.plan import names_for
from responder.domain.errors import StepError
from responder.domain.limits import Refusal
from responder.domain.runs import Run
from responder.domain.verdicts import Verdict
from responder.playbook.model import ItemList, Playbook, Step
from responder.playbook.render import render_items

NAMED_BY = ("name", "id", "key")
"""The first of these that an item has is its name in messages; a single value is its own."""
NAME = 60


async def items_of(engine: Engine, run: Run, playbook: Playbook) -> Run | Refusal:
    """Keep with the run what its steps are to be done to, or say why that is not known."""
    found: dict[str, dict[str, JsonValue]] = {}
    for step in playbook.steps:
        if step.items is None:
            continue
        named = await _list(engine, run, step, step.items)
        if isinstance(named, Refusal):
            return named
        found[step.id] = named
    return replace(run, progress=run.progress.model_copy(update={"items": found})) if found else run


async def _list(engine: Engine, run: Run, step: Step, wanted: ItemList) -> dict[str, JsonValue] | Refusal:
    names = names_for(run)
    try:
        probe = render_items(wanted, names)
        items = await bounded(probe.items(labels_of(names), engine.tools), LOOK_SECONDS)
    except (StepError, ValueError) as error:
        return _refusal(Verdict.ITEMS_UNKNOWN, step, str(error))
    if not items:
        return _refusal(Verdict.NO_ITEMS, step, "")
    if len(items) > wanted.max:
        return _refusal(Verdict.TOO_MANY_ITEMS, step, f"there are {len(items)}, at most {wanted.max} may be")
    if engine.holds_secret(list(items)):
        return _refusal(Verdict.ITEMS_UNKNOWN, step, "it holds a secret value")
    return _named(step, items)


def _named(step: Step, items: Sequence[JsonValue]) -> dict[str, JsonValue] | Refusal:
    found: dict[str, JsonValue] = {}
    for item in items:
        name = name_of(item)
        if not name:
            return _refusal(Verdict.ITEMS_UNKNOWN, step, "an item is neither a value nor has a name, id or key")
        if name in found:
            return _refusal(Verdict.ITEMS_UNKNOWN, step, f"it names {name} twice")
        found[name] = item
    return found


def name_of(item: JsonValue) -> str:
    """Return what an item is called, empty when it has no name."""
    if isinstance(item, dict):
        return next((name_of(item[key]) for key in NAMED_BY if not isinstance(item.get(key), dict | None)), "")
    if isinstance(item, list) or item is None:
        return ""
    return str(item)[:NAME]


def _refusal(verdict: Verdict, step: Step, why: str) -> Refusal:
    return Refusal(verdict, f"{verdict.sentence} step {step.id}{f': {why}' if why else ''}")
