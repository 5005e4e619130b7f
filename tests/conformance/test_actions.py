"""What the engine relies on, for every action of the catalogue in each of its shapes.

Another action joins with its shapes and the bed they are tried on: a module like ``bed_http.py``, and a line in
``BEDS``. What an action cannot do by its kind is left out by what its class says, and what is expected instead is a
test of its own: an **event** (``effect``) has no before-image to put back and no drift, so it proves by identity that
it happened, and must spare what it did not record; what is ``impossible`` to undo says so and touches nothing.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from responder.act.gate import Gated
from responder.app import catalogue
from responder.clients.toolbox import Toolbox
from responder.domain.errors import Drifted, Permanent, StepError, Temporary, Uncertain
from responder.domain.kubernetes import KINDS
from responder.domain.records import RecordState
from responder.playbook.schema import load_playbook
from responder.ports.action import Landed
from tests.conformance import (
    bed_alertmanager,
    bed_command,
    bed_docker,
    bed_http,
    bed_pgbouncer,
    bed_postgres,
    bed_redis,
    bed_remote,
    bed_ssh,
    bed_systemd,
)
from tests.conformance.action_bed import (
    ACTIONS,
    SECRET,
    Bed,
    BedKind,
    Shape,
    applied,
    intended,
    landed,
    stored,
    stored_object,
)

BEDS: Mapping[str, BedKind] = {
    "postgres": bed_postgres.KIND,
    "redis": bed_redis.KIND,
    "http": bed_http.KIND,
    "command": bed_command.KIND,
    "ssh": bed_ssh.KIND,
    "pgbouncer": bed_pgbouncer.KIND,
    "docker": bed_docker.KIND,
    "systemd": bed_systemd.KIND,
    "alertmanager": bed_alertmanager.KIND,
    "kubernetes": bed_remote.KIND,
}
TARGETS = {"node": "node/{{ labels.it }}"} | {
    word: word + "/{{ labels.namespace }}/{{ labels.it }}" for word, kind in KINDS.items() if kind.namespaced
}


CHANGES = """\
  - id: change
    http.request: { service: it, send: PUT /it, json: { a: 1 }, undo_json: { a: 2 } }
"""
"""A step that changes something: those that stand between changes are none by themselves."""


def these(
    *,
    seeing: bool = False,
    states: bool = False,
    events: bool = False,
    restoring: bool = False,
    editable: bool = False,
    picking: bool = False,
    fenceless: bool = False,
    faults: str = "",
) -> pytest.MarkDecorator:
    """Run a test for the shapes that are asked for, on their beds; with ``faults`` for each of the bed's, too."""
    cases = []
    for bed, kind in BEDS.items():
        marks = [pytest.mark.server] if kind.server else []
        for name, shape in kind.shapes.items():
            effect = shape.kind.effect
            if (seeing and shape.blind) or (states and effect != "state") or (events and effect != "event"):
                continue
            if (restoring and not shape.restores) or (faults and shape.brief):
                continue
            if (editable and shape.binary) or (picking and shape.single):
                continue
            if fenceless and shape.kind.fence != "none":
                continue
            for fault in getattr(kind.kind, faults) if faults else ("",):
                given = (shape, (kind, shape), *([fault] if faults else []))
                cases.append(pytest.param(*given, id=" ".join(filter(None, (bed, name, fault))), marks=marks))
    names = "shape, opening, fault" if faults else "shape, opening"
    return pytest.mark.parametrize(names, cases)


@pytest.fixture
def opened(opening: tuple[BedKind, Shape], request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Bed]:
    """Start the servers of the bed before a loop runs."""
    kind, shape = opening
    return kind.open(request, shape)


@pytest.fixture
async def bed(opened: AbstractAsyncContextManager[Bed]) -> AsyncIterator[Bed]:
    async with opened as one:
        yield one


def sending(bed: Bed, fault: str) -> Toolbox:
    """Return tools that need not wait long for a target that hangs."""
    return bed.hasty if "hang" in fault else bed.tools


# --- the class ------------------------------------------------------------------------------------------------------


def test_every_action_of_the_catalogue_is_held_to_this() -> None:
    changing = {name for name, kind in ACTIONS.items() if not kind.between}
    assert {shape.action for kind in BEDS.values() for shape in kind.shapes.values()} == changing


@pytest.mark.parametrize("name", ACTIONS)
def test_an_example_loads_as_a_step(name: str) -> None:
    kind = ACTIONS[name]
    step = "\n".join(f"    {line}" for line in kind.example.splitlines())
    target = (
        TARGETS.get(kind.kinds[0]) if kind.kinds else f"{kind.reach.partition('/')[0] or 'http'}/{{{{ labels.it }}}}"
    )
    undo = "    undo: none\n" if kind.undoes == "impossible" and "undo:" not in kind.example else ""
    text = f"""\
schema: 1
name: example
summary: An example.
mode: observe
matchers:
  - alertname="A"
target: {target}
steps:
  - id: it
{step}
{undo}{CHANGES if kind.between else ""}{"revert_after: 10m" if kind.ended_by else ""}
verify:
  - query: up
    above: 0
"""
    playbook = load_playbook(text, "example.yaml", catalogue(), None)
    assert playbook.steps[0].action is kind


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_says_what_it_is(name: str) -> None:
    kind = ACTIONS[name]
    assert kind.name == name
    assert kind.effect in {"state", "event"}
    assert kind.fence in {"precondition", "key", "session", "none"}
    assert kind.undoes in {"restores", "compensates", "impossible"}
    assert kind.evidence in {"marker", "value"}
    assert kind.model_config.get("frozen")
    assert kind.model_config.get("extra") == "forbid"
    assert all(info.description for info in kind.model_fields.values())


@pytest.mark.parametrize(
    "shape",
    [pytest.param(shape, id=f"{bed} {name}") for bed, kind in BEDS.items() for name, shape in kind.shapes.items()],
)
def test_arguments_make_the_same_action_again(shape: Shape) -> None:
    action = shape.make()
    again = type(action).model_validate(stored_object(action.arguments()))
    assert again == action
    assert again.arguments() == action.arguments()
    assert json.loads(json.dumps(action.arguments())) == action.arguments()


@pytest.mark.parametrize("name", ACTIONS)
def test_what_cannot_be_gradual_says_so(name: str) -> None:
    assert ACTIONS[name].gradual or ACTIONS[name].not_gradual({})


# --- snapshot, apply, undo ------------------------------------------------------------------------------------------


@these()
async def test_a_snapshot_survives_the_store_and_changes_nothing(shape: Shape, bed: Bed) -> None:
    world = await bed.world()
    snapshot = await shape.make().snapshot(shape.target, bed.tools)
    assert stored(snapshot.image) == snapshot.image
    assert await bed.changes() == 0
    assert await bed.world() == world


@these(seeing=True)
async def test_the_plan_is_what_comes_true(shape: Shape, bed: Bed) -> None:
    action = shape.make()
    record = await applied(action, bed.tools, shape.target)
    assert record.observed == record.planned
    assert record.planned is not None
    assert await bed.holds(record.planned)
    assert await bed.changes() == 1
    assert not await action.drifted(shape.target, record, bed.tools)


@pytest.mark.promise(16)
@these(restoring=True)
async def test_undo_restores_the_owned_fields_and_nothing_else(shape: Shape, bed: Bed) -> None:
    world = await bed.world()
    action = shape.make()
    record = await applied(action, bed.tools, shape.target)
    assert await bed.changes() == 1
    await action.undo(shape.target, record, bed.tools)
    assert record.before is None or await bed.holds(record.before)
    if not shape.replaces:
        assert await bed.world() == world


@these(events=True)
async def test_an_event_that_cannot_be_undone_says_so_and_touches_nothing(shape: Shape, bed: Bed) -> None:
    if shape.restores:
        pytest.skip("what is compensated is held to the tests of undo")
    action = shape.make()
    record = await applied(action, bed.tools, shape.target)
    world = await bed.world()
    with pytest.raises(Permanent):
        await action.undo(shape.target, record, bed.tools)
    assert await bed.world() == world
    assert await bed.changes() == 1


# --- twice ----------------------------------------------------------------------------------------------------------


@these()
async def test_a_second_apply_of_the_same_record_changes_nothing(shape: Shape, bed: Bed) -> None:
    """It is answered as the first one, or refused; either way the target has changed once."""
    if shape.kind.fence == "none":
        pytest.skip("nothing refuses it: it is never sent a second time, see below")
    action = shape.make()
    record = await applied(action, bed.tools, shape.target)
    after = await bed.world()
    with contextlib.suppress(Temporary, Permanent):
        again = await action.apply(shape.target, replace(record, state=RecordState.INTENDED), bed.tools)
        assert stored(again) == record.observed
    assert await bed.world() == after
    assert await bed.changes() == 1


@these(fenceless=True)
async def test_what_nothing_refuses_is_not_sent_twice(shape: Shape, bed: Bed) -> None:
    action = shape.make()
    assert not action.repeatable(await intended(action, bed.tools, shape.target), bed.tools)


@these(restoring=True)
async def test_a_second_undo_changes_nothing(shape: Shape, bed: Bed) -> None:
    if shape.kind.fence == "none":
        pytest.skip("nothing refuses it")
    action = shape.make()
    record = await applied(action, bed.tools, shape.target)
    await action.undo(shape.target, record, bed.tools)
    after = await bed.world()
    await action.undo(shape.target, replace(record, state=RecordState.UNDO_INTENDED), bed.tools)
    assert await bed.world() == after
    assert await bed.changes() == 2


# --- landed ---------------------------------------------------------------------------------------------------------


@pytest.mark.promise(6)
@these(faults="landing")
async def test_landed_tells_what_was_applied_and_reported_as_failed(shape: Shape, bed: Bed, fault: str) -> None:
    action, tools = shape.make(), sending(bed, fault)
    record = await intended(action, bed.tools, shape.target)
    await bed.fault(fault)
    with pytest.raises(Uncertain):
        await action.apply(shape.target, record, tools)
    await bed.heal()
    assert await landed(action, record, "do", bed.tools) is (Landed.UNKNOWN if shape.blind else Landed.YES)
    if shape.restores:
        record = replace(record, state=RecordState.APPLIED, observed=record.planned)
        await bed.fault(fault)
        with pytest.raises(Uncertain):
            await action.undo(shape.target, record, tools)
        await bed.heal()
        assert await landed(action, record, "undo", bed.tools) is (Landed.UNKNOWN if shape.blind else Landed.YES)
    assert await bed.changes() == (2 if shape.restores else 1)


@these(faults="losing")
async def test_landed_tells_what_was_never_applied(shape: Shape, bed: Bed, fault: str) -> None:
    action, tools = shape.make(), sending(bed, fault)
    record = await intended(action, bed.tools, shape.target)
    await bed.fault(fault)
    with pytest.raises(Uncertain):
        await action.apply(shape.target, record, tools)
    await bed.heal()
    assert await landed(action, record, "do", bed.tools) is (Landed.UNKNOWN if shape.blind else Landed.NO)
    if shape.restores:
        record = await applied(action, bed.tools, shape.target)
        await bed.fault(fault)
        with pytest.raises(Uncertain):
            await action.undo(shape.target, record, tools)
        await bed.heal()
        assert await landed(action, record, "undo", bed.tools) is (Landed.UNKNOWN if shape.blind else Landed.NO)
        assert await bed.changes() == 1


@these(seeing=True, faults="losing")
async def test_what_was_never_applied_lands_once_when_it_is_sent_again(shape: Shape, bed: Bed, fault: str) -> None:
    action = shape.make()
    record = await intended(action, bed.tools, shape.target)
    await bed.fault(fault)
    with pytest.raises(Uncertain):
        await action.apply(shape.target, record, sending(bed, fault))
    await bed.heal()
    if not action.repeatable(record, bed.tools):
        pytest.skip("it is left to a person")
    assert stored(await action.apply(shape.target, record, bed.tools)) == record.planned
    assert await landed(action, record, "do", bed.tools) is Landed.YES
    assert await bed.changes() == 1


@these(seeing=True, states=True, editable=True)
async def test_landed_does_not_know_what_somebody_else_has_changed(shape: Shape, bed: Bed) -> None:
    action = shape.make()
    record = await applied(action, bed.tools, shape.target)
    await bed.edit_owned()
    assert await landed(action, record, "do", bed.tools) is Landed.UNKNOWN
    assert await landed(action, record, "undo", bed.tools) is Landed.UNKNOWN


@these(seeing=True, faults="unreadable")
async def test_landed_guesses_nothing_when_the_target_cannot_be_read(shape: Shape, bed: Bed, fault: str) -> None:
    action = shape.make()
    record = await intended(action, bed.tools, shape.target)
    await bed.unread(fault)
    with pytest.raises(StepError):
        await landed(action, record, "do", sending(bed, fault))
    await bed.heal()
    assert await bed.changes() == 0


# --- drift ----------------------------------------------------------------------------------------------------------


@these(seeing=True, states=True, restoring=True, editable=True)
async def test_somebody_elses_edit_of_an_owned_field_is_drift_and_stands(shape: Shape, bed: Bed) -> None:
    action = shape.make()
    record = await applied(action, bed.tools, shape.target)
    await bed.edit_owned()
    edited = await bed.world()
    assert await action.drifted(shape.target, record, bed.tools)
    with pytest.raises(Drifted):
        await action.undo(shape.target, record, bed.tools)
    assert await bed.world() == edited


@pytest.mark.promise(16)
@these(seeing=True, states=True, restoring=True)
async def test_somebody_elses_edit_beside_ours_is_no_drift_and_survives(shape: Shape, bed: Bed) -> None:
    action = shape.make()
    await bed.edit_beside()
    world = await bed.world()
    record = await applied(action, bed.tools, shape.target)
    assert not await action.drifted(shape.target, record, bed.tools)
    await bed.edit_beside()
    assert not await action.drifted(shape.target, record, bed.tools)
    await action.undo(shape.target, record, bed.tools)
    if not shape.replaces:
        assert await bed.world() == world


@these(seeing=True, states=True)
async def test_an_edit_between_the_snapshot_and_the_send_is_not_overwritten(shape: Shape, bed: Bed) -> None:
    action = shape.make()
    record = await intended(action, bed.tools, shape.target)
    await bed.edit_owned()
    edited = await bed.world()
    with pytest.raises(StepError) as raised:
        await action.apply(shape.target, record, bed.tools)
    assert not isinstance(raised.value, Uncertain)
    assert await bed.world() == edited


@these(events=True, seeing=True, picking=True)
async def test_an_event_happens_to_what_was_recorded_and_to_nothing_else(shape: Shape, bed: Bed) -> None:
    """What came later and would have been picked as well was in nobody's plan."""
    action = shape.make()
    record = await intended(action, bed.tools, shape.target)
    await bed.edit_beside()
    beside = await intended(action, bed.tools, shape.target)
    await action.apply(shape.target, record, bed.tools)
    assert await bed.holds(record.planned)
    assert not await bed.holds(beside.planned)


@these(events=True, seeing=True)
async def test_an_event_spares_what_has_become_something_else(shape: Shape, bed: Bed) -> None:
    action = shape.make()
    record = await intended(action, bed.tools, shape.target)
    await bed.edit_owned()
    edited = await bed.world()
    with contextlib.suppress(Temporary, Permanent):
        await action.apply(shape.target, record, bed.tools)
    assert await bed.world() == edited


# --- refused, cancelled ---------------------------------------------------------------------------------------------


@these(faults="refusals")
async def test_a_refusal_says_that_nothing_happened(shape: Shape, bed: Bed, fault: str) -> None:
    action = shape.make()
    record = await intended(action, bed.tools, shape.target)
    world = await bed.world()
    await bed.fault(fault)
    with pytest.raises(bed.refusals[fault]):
        await action.apply(shape.target, record, bed.tools)
    await bed.heal()
    assert await bed.world() == world


@pytest.mark.promise(10)
@these()
async def test_a_gate_that_is_closed_keeps_everything_as_it_is(shape: Shape, bed: Bed) -> None:
    """A pause that comes between the permission and the first byte holds, for changes and for what undoes them."""

    async def closed() -> None:
        raise Temporary("paused")

    gated = Gated(bed.tools, closed)
    action = shape.make()
    record = await intended(action, bed.tools, shape.target)
    with pytest.raises(Temporary, match="paused"):
        await action.apply(shape.target, record, gated)
    assert await bed.changes() == 0
    if shape.restores:
        record = await applied(action, bed.tools, shape.target)
        with pytest.raises(Temporary, match="paused"):
            await action.undo(shape.target, record, gated)
        assert await bed.changes() == 1


@these()
async def test_a_cancelled_apply_leaves_nothing_half_done(shape: Shape, bed: Bed) -> None:
    if not bed.stalls:
        pytest.skip("this target cannot be made slow")
    action = shape.make()
    record = await intended(action, bed.tools, shape.target)
    world = await bed.world()
    await bed.stall()
    task = asyncio.create_task(action.apply(shape.target, record, bed.tools))
    await asyncio.sleep(0.05)  # it has no event for "the request has arrived"; earlier or later must not matter
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await bed.heal()
    assert await bed.world() == world
    now = await intended(action, bed.tools, shape.target)
    await action.apply(shape.target, now, bed.tools)
    assert await bed.changes() == 1


# --- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.promise(19)
@these(faults="telling")
async def test_no_credential_gets_into_what_is_kept_or_said(shape: Shape, bed: Bed, fault: str) -> None:
    action = shape.make()
    said = [repr(action), json.dumps(action.arguments())]
    record = await intended(action, bed.tools, shape.target)
    if fault:
        await bed.fault(fault)
    try:
        said.append(repr(await action.apply(shape.target, record, sending(bed, fault))))
    except StepError as error:
        said.append(f"{error!r} {error} {error.__cause__!r}")
    assert await bed.used_credentials()
    assert SECRET not in repr(record) + "".join(said)
