"""How far a playbook may reach: on how many of the targets there are it may act at once."""

from collections.abc import Collection
from dataclasses import replace

from responder.act.engine import Engine
from responder.domain.limits import Cap, Limits, Refusal, Scope, failing_as_one
from responder.domain.modes import Mode
from responder.domain.runs import Run
from responder.domain.targets import SEPARATOR
from responder.domain.verdicts import Verdict


def scope_name(of: Scope, run: Run) -> str:
    """Return which parent, cluster, team or playbook it is for this run, empty when nobody knows."""
    match of:
        case "owner":
            return run.target.rpartition(SEPARATOR)[0]
        case "cluster":
            return run.target.partition(SEPARATOR)[0]
        case "team":
            return run.context.team or ""
        case "playbook":
            return run.playbook


def counted_under(scopes: Collection[Scope], run: Run) -> tuple[Cap, ...]:
    """Return what the run is counted under, so that the playbooks that bound their reach by it see its targets."""
    named = [(of, scope_name(of, run)) for of in sorted(scopes)]
    return tuple(_cap(of, name) for of, name in named if name)


def reaching(limits: Limits, run: Run) -> Limits:
    """Return the limits with the bound that was found for the run; until that is found, its own target is all."""
    radius = limits.blast_radius
    if radius is None:
        return limits
    own = replace(
        _cap(radius.of, scope_name(radius.of, run)), targets=run.progress.reach or 1, lasts=limits.radius_window
    )
    return replace(limits, caps=(*(cap for cap in limits.caps if cap.key != own.key), own))


async def reach(engine: Engine, run: Run, limits: Limits) -> Run | Refusal:
    """Count the targets there are, and keep with the run on how many of them it may act; who cannot count refuses."""
    radius = limits.blast_radius
    if radius is None:
        return run
    name = scope_name(radius.of, run)
    if not name:
        reason = f"{Verdict.POPULATION_UNKNOWN.sentence} The alert does not say which {radius.of} it belongs to."
        return Refusal(Verdict.POPULATION_UNKNOWN, reason)
    population = radius.total or await engine.store.known_targets(radius.of, name)
    progress = run.progress.model_copy(update={"reach": radius.allows(population)})
    return replace(run, progress=progress)


async def failing(engine: Engine, run: Run, limits: Limits) -> Refusal | None:
    """Return why the run's target is not fixed by itself: it is one of many. One that is alone costs no count."""
    share = limits.mass_failure
    if share is None or run.mode is Mode.OBSERVE:
        return None
    sick = await engine.store.sick_targets(run.playbook)
    if sick <= 1:
        return None
    known = 0 if share.total is not None else await engine.store.known_targets("playbook", run.playbook)
    return failing_as_one(share, sick, known)


def _cap(of: Scope, name: str) -> Cap:
    return Cap(f"radius:{of}/{name}", f"what is below {name}" if of == "owner" else f"the {of} {name}")
