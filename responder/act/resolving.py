"""The first state of a run: what only the cluster can tell is looked up, and the target's guards are asked again.

An alert may name a pod, while what is to be changed is the Deployment that made it. Until that is known, the run's
target is the pod. Thirty crashing pods begin thirty runs; the first that finds out that they have one Deployment goes
on for all of them. See docs/decisions/0029-owners-are-looked-up-by-the-run.md.
"""

import asyncio
from dataclasses import replace

from responder.act.before import brakes, forbidden
from responder.act.ends import refused
from responder.act.engine import EFFECT_SECONDS, Engine, Next
from responder.act.plan import names_for
from responder.act.reach import reaching
from responder.domain.causes import cause_of
from responder.domain.errors import Permanent, StepError
from responder.domain.kubernetes import AUTOSCALER, OF_TITLE, SCALED, place_of
from responder.domain.limits import Refusal
from responder.domain.modes import Mode
from responder.domain.reconcilers import at, text_at
from responder.domain.runs import Run, advance
from responder.domain.targets import SEPARATOR
from responder.domain.verdicts import Verdict
from responder.language.templates import MissingValue
from responder.playbook.model import Playbook
from responder.playbook.render import render_pod, render_target
from responder.ports.owners import owners_of
from responder.ports.store import Bound, RunEnd, Standing


async def resolving(engine: Engine, run: Run, playbook: Playbook, standing: Standing) -> Next:
    """Look up what was late bound, then evaluate the target's guards again."""
    if run.progress.joined:
        return _ended(run, run.progress.joined)
    if run.progress.owner or not (playbook.late_bound or playbook.owner_words):
        return _on(run, playbook, standing)
    refusal = brakes(run, playbook, standing)  # the limits are those of the target, which is not known yet
    if refusal is not None:
        return refused(run, refusal, standing)
    found = await _looked_up(engine, run, playbook)
    if isinstance(found, Refusal):
        return refused(run, found, standing)
    if engine.protected(found.target):
        reason = f"{Verdict.PROTECTED.sentence} It is {found.target}."
        return refused(run, Refusal(Verdict.PROTECTED, reason), standing)
    return await _bound(engine, run, found, playbook, standing)


async def _bound(engine: Engine, before: Run, run: Run, playbook: Playbook, standing: Standing) -> Next:
    """Take the target over, or leave the alerts to the run that has it."""
    if run.target == before.target:
        return _on(run, playbook, standing)
    bound = await engine.store.bind(run)
    if bound.joined:
        engine.on_fact("run_joined", run=run.id, other=bound.joined, target=run.target)
        return _ended(run, bound.joined)
    engine.on_fact("run_bound", run=run.id, target=run.target)
    standing = await engine.store.standing(run, reaching(playbook.limits, run))
    caused = _caused(run, bound, standing)
    if isinstance(caused, Refusal):
        return refused(run, caused, standing)
    return _on(caused, playbook, standing)


def _on(run: Run, playbook: Playbook, standing: Standing) -> Next:
    refusal = forbidden(run, playbook, standing)
    if refusal is not None:
        return refused(run, refusal, standing)
    return Next(advance(run, "resolved_target"), standing=standing)


def _ended(run: Run, other: str) -> Next:
    """End a run whose alerts another one has taken over."""
    return Next(advance(run, "refused", Verdict.JOINED, f"{Verdict.JOINED.sentence} Run {other}."), end=RunEnd())


def _caused(run: Run, bound: Bound, standing: Standing) -> Run | Refusal:
    """Say what the run follows from at the target that it has now; refuse one that goes round in a circle."""
    if bound.began is None or run.mode is Mode.OBSERVE:
        return run
    touches = [touch for one in bound.near if (touch := one.touch(standing.now)) is not None]
    cause = cause_of(touches, run.playbook, run.target, bound.began)
    return cause.refusal or replace(run, caused_by=cause.run, depth=cause.depth)


async def _looked_up(engine: Engine, run: Run, playbook: Playbook) -> Run | Refusal:
    """Return the run with the owner of its pod and the target that follows from it, or why there is none."""
    try:
        async with asyncio.timeout(EFFECT_SECONDS):
            run = await _with_owner(engine, run, playbook)
            target = await _target(engine, run, playbook)
    except TimeoutError:
        reason = f"{Verdict.OWNER_UNKNOWN.sentence} There was no answer within {EFFECT_SECONDS:g} s."
        return Refusal(Verdict.OWNER_UNKNOWN, reason)
    except StepError as error:
        return Refusal(Verdict.OWNER_UNKNOWN, f"{Verdict.OWNER_UNKNOWN.sentence} {error}")
    except MissingValue as error:
        verdict = Verdict.NO_OWNER if error.path[0] == "owner" else Verdict.LABEL_MISSING
        belongs = ", ".join(f"{kind} {name}" for kind, name in run.progress.owner.items()) or "nothing"
        told = f" It belongs to {belongs}." if verdict is Verdict.NO_OWNER else ""
        return Refusal(verdict, f"{verdict.sentence} {error}.{told}")
    except ValueError as error:
        return Refusal(Verdict.TARGET_INVALID, f"{Verdict.TARGET_INVALID.sentence} {error}")
    return replace(run, target=target)


async def _with_owner(engine: Engine, run: Run, playbook: Playbook) -> Run:
    if not playbook.owner_words:
        return run
    pod = place_of(render_pod(playbook, _names(engine, run, playbook)))
    found = await owners_of(engine.tools.cluster(pod.cluster), pod.namespace, pod.name, playbook.owner_words)
    if found is None:
        raise Permanent(f"There is no {pod} any more.")
    return replace(run, progress=run.progress.model_copy(update={"owner": dict(found)}))


async def _target(engine: Engine, run: Run, playbook: Playbook) -> str:
    """Return the target as it is now known; of an autoscaler that is what it scales."""
    if not playbook.late_bound:
        return run.target
    target = render_target(playbook, _names(engine, run, playbook))
    return await _scaled(engine, target) if playbook.by_autoscaler else target


def _names(engine: Engine, run: Run, playbook: Playbook) -> dict[str, object]:
    """Return what the target's templates may name, with the cluster that decide found, or the alert's."""
    if playbook.late_bound:
        cluster = run.target.partition(SEPARATOR)[0]
    else:
        cluster = "" if playbook.cluster else engine.tools.cluster_of(run.context.labels)
    return {**names_for(run), "cluster": cluster}


async def _scaled(engine: Engine, target: str) -> str:
    place = place_of(target)
    if place.kind.word != AUTOSCALER:
        return target
    found = await engine.tools.cluster(place.cluster).find(place.path)
    if found is None:
        raise Permanent(f"There is no {place}.")
    kind = OF_TITLE.get(text_at(found, "spec", "scaleTargetRef", "kind"))
    name = text_at(found, "spec", "scaleTargetRef", "name")
    group = text_at(found, "spec", "scaleTargetRef", "apiVersion").partition("/")[0]
    if kind is None or group != kind.group or kind.word not in SCALED:
        raise ValueError(f"{place} scales {at(found, 'spec', 'scaleTargetRef')}, which is no target")
    return replace(place, kind=kind, name=name).target
