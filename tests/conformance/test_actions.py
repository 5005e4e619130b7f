"""What the engine relies on, for every action of the catalogue, and for ``http.request`` in each of its shapes.

Another action joins by a line in ``SHAPES``: how it is written and which resource of the target it works on.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue

from responder.app import catalogue
from responder.clients.toolbox import HttpSpec, Toolbox
from responder.domain.errors import Drifted, Permanent, StepError, Temporary, Uncertain
from responder.domain.ids import new_id
from responder.domain.portions import Portion
from responder.domain.records import Direction, Record, RecordState
from responder.playbook.schema import load_playbook
from responder.ports.action import Action, Landed, Snapshot
from responder.stores.core.types import decode, encode
from tests.bed import ledger
from tests.bed.target_peer import Target

ACTIONS = catalogue().actions
SECRET = "planted-credential-1"
START: dict[str, JsonValue] = {"workers": 4, "paused": False, "mode": "normal", "colour": "blue"}
OURS = frozenset({"workers", "paused", "mode"})


@dataclass(frozen=True)
class Shape:
    """One way to write an action. ``blind`` has no way to read, so nobody can tell whether it landed or drifted."""

    action: str
    arguments: Mapping[str, JsonValue]
    blind: bool = False

    def make(self) -> Action:
        return ACTIONS[self.action].model_validate(self.arguments)


def http(blind: bool = False, **arguments: JsonValue) -> Shape:  # noqa: FBT001, FBT002 - a property of the shape
    return Shape("http.request", {"service": "shop", "send": "PATCH /admin/it", **arguments}, blind)


READ = "GET /admin/it"
SHAPES = {
    "json": http(read=READ, json={"paused": True, "mode": "low"}),
    "set by": http(read=READ, set={"workers": {"by": 2}}),
    "set by, bounded": http(read=READ, set={"workers": {"by": 100, "max": 8}}),
    "set down, bounded": http(read=READ, set={"workers": {"by": -100, "min": 1}}),
    "set to": http(read=READ, set={"workers": {"to": 7}}),
    "another line to undo": http(read=READ, json={"paused": True}, undo="PUT /admin/it"),
    "post": http(read=READ, send="PUT /admin/it", json={"paused": True}),
    "read and undo_json": http(read=READ, json={"paused": True}, undo_json={"paused": False}),
    "blind": http(blind=True, json={"paused": True}, undo_json={"paused": False}),
}
SEEING = {name: shape for name, shape in SHAPES.items() if not shape.blind}
PUTS = {name for name, shape in SHAPES.items() if "PUT" in json.dumps(dict(shape.arguments))}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Shape:
    return SHAPES[str(request.param)]


@pytest.fixture(params=SEEING)
def seeing(request: pytest.FixtureRequest) -> Shape:
    return SEEING[str(request.param)]


def toolbox(url: str, *, seconds: float = 10) -> Toolbox:
    credentials = {"Authorization": f"Bearer {SECRET}"}
    return Toolbox({"shop": HttpSpec(url, ("* /admin/*",), credentials, lambda: None, timedelta(seconds=seconds))}, {})


@pytest.fixture
async def tools(target: Target) -> AsyncIterator[Toolbox]:
    target.resources["it"] = dict(START)
    box = toolbox(target.url)
    yield box
    await box.close()


@pytest.fixture
async def hasty(target: Target) -> AsyncIterator[Toolbox]:
    """Tools that soon give up on a target that hangs; whoever only looks has patience with a busy machine."""
    box = toolbox(target.url, seconds=0.4)
    yield box
    await box.close()


def record_of(action: Action, snapshot: Snapshot) -> Record:
    """Return the record as it comes back from a store."""
    return Record(
        id=new_id(),
        run_id="run",
        index=0,
        step="it",
        action=action.name,
        target="http/shop/it",
        arguments=stored_object(action.arguments()),
        before=stored(snapshot.image),
        planned=stored(action.change(snapshot.image)),
        state=RecordState.INTENDED,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        fence=snapshot.fence,
    )


def stored(value: JsonValue) -> JsonValue:
    return decode(encode(value))


def stored_object(value: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    kept = stored(dict(value))
    assert isinstance(kept, dict)
    return kept


async def intended(action: Action, tools: Toolbox) -> Record:
    return record_of(action, await action.snapshot("t", tools))


async def applied(action: Action, tools: Toolbox) -> Record:
    record = await intended(action, tools)
    return replace(record, state=RecordState.APPLIED, observed=stored(await action.apply("t", record, tools)))


async def landed(action: Action, record: Record, direction: Direction, tools: Toolbox) -> Landed:
    return await action.landed("t", record, direction, tools)


def owned(target: Target) -> dict[str, object]:
    return {key: value for key, value in target.resources["it"].items() if key in OURS}


def changes(target: Target) -> int:
    return sum(entry.changed for entry in target.ledger.entries)


# --- the class ------------------------------------------------------------------------------------------------------


def test_every_action_of_the_catalogue_is_held_to_this() -> None:
    assert {shape.action for shape in SHAPES.values()} == set(ACTIONS)


@pytest.mark.parametrize("name", ACTIONS)
def test_an_example_loads_as_a_step(name: str) -> None:
    kind = ACTIONS[name]
    step = "\n".join(f"    {line}" for line in kind.example.splitlines())
    text = f"""\
schema: 1
name: example
summary: An example.
mode: observe
matchers:
  - alertname="A"
target: http/checkout
steps:
  - id: it
{step}
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


def test_arguments_make_the_same_action_again(shape: Shape) -> None:
    action = shape.make()
    again = type(action).model_validate(stored_object(action.arguments()))
    assert again == action
    assert again.arguments() == action.arguments()
    assert json.loads(json.dumps(action.arguments())) == action.arguments()


def test_an_action_says_whether_it_can_be_gradual_and_why_not(shape: Shape) -> None:
    action = shape.make()
    refused = type(action).not_gradual(shape.arguments)
    assert (not refused) == ("set" in shape.arguments)
    if not type(action).gradual:
        with pytest.raises(ValueError, match="portions"):
            action.portions(START, Portion(1))


@pytest.mark.parametrize("by", [Portion(1), Portion(1.5), Portion(0.5, share=True)])
@pytest.mark.parametrize("name", [name for name, one in SHAPES.items() if not one.make().not_gradual(one.arguments)])
def test_portions_lead_to_where_the_whole_would_and_back_again(name: str, by: Portion) -> None:
    action = SHAPES[name].make()
    images: list[JsonValue] = [{"workers": START["workers"]}]
    for part in action.portions(images[0], by):
        assert type(part).model_validate(stored_object(part.arguments())) == part
        images.append(part.change(images[-1]))
    assert len(images) > 2
    assert images[-1] == action.change(images[0])
    for part, before, after in zip(action.portions(images[0], by), images, images[1:], strict=False):
        assert part.change(after) == after, "a portion that is made already changes nothing"
        assert part.change(before) == after


# --- snapshot, apply, undo ------------------------------------------------------------------------------------------


async def test_a_snapshot_survives_the_store_and_changes_nothing(shape: Shape, target: Target, tools: Toolbox) -> None:
    snapshot = await shape.make().snapshot("t", tools)
    assert stored(snapshot.image) == snapshot.image
    assert target.ledger.entries == []
    assert snapshot.image is None or set(snapshot.image) <= OURS  # type: ignore[arg-type]  # an object of owned keys


async def test_the_plan_is_what_comes_true(seeing: Shape, target: Target, tools: Toolbox) -> None:
    action = seeing.make()
    record = await applied(action, tools)
    assert record.observed == record.planned
    assert record.planned is not None
    assert record.planned.items() <= target.resources["it"].items()  # type: ignore[union-attr]  # an object
    assert not await action.drifted("t", record, tools)


@pytest.mark.promise(16)
async def test_undo_restores_the_owned_fields_and_nothing_else(shape: Shape, target: Target, tools: Toolbox) -> None:
    action = shape.make()
    record = await applied(action, tools)
    assert changes(target) == 1
    await action.undo("t", record, tools)
    before = {key: value for key, value in START.items() if key in (record.planned or ())}  # type: ignore[operator]  # as above
    assert before.items() <= target.resources["it"].items()
    if not any(line in PUTS for line, one in SHAPES.items() if one is shape):
        assert target.resources["it"] == START


async def test_only_owned_keys_are_sent_in_both_directions(shape: Shape, target: Target, tools: Toolbox) -> None:
    action = shape.make()
    await action.undo("t", await applied(action, tools), tools)
    assert len(target.ledger.entries) == 2
    given = shape.arguments.get("json") or shape.arguments.get("set") or {}
    assert isinstance(given, dict)
    assert all(set(entry.body) == set(given) for entry in target.ledger.entries)


async def test_a_put_replaces_what_we_do_not_own_on_a_service_that_takes_it_for_the_whole(
    target: Target, tools: Toolbox
) -> None:
    """What the description of ``send`` warns of, and what ``PATCH`` is for."""
    await applied(SHAPES["post"].make(), tools)
    assert "colour" not in target.resources["it"]


async def test_each_send_carries_a_key_of_its_direction_and_the_fence(
    seeing: Shape, target: Target, tools: Toolbox
) -> None:
    action = seeing.make()
    record = await applied(action, tools)
    await action.undo("t", record, tools)
    do, undo = target.ledger.entries
    assert (do.key, undo.key) == (f"{record.id}:do", f"{record.id}:undo")
    assert do.headers["If-Match"] == record.fence
    assert undo.headers["If-Match"] not in {"", record.fence}


# --- twice ----------------------------------------------------------------------------------------------------------


async def test_a_second_apply_of_the_same_record_changes_nothing(shape: Shape, target: Target, tools: Toolbox) -> None:
    action = shape.make()
    record = await applied(action, tools)
    after = dict(target.resources["it"])
    await action.apply("t", replace(record, state=RecordState.INTENDED), tools)
    assert target.resources["it"] == after
    assert ledger.twice(target.ledger.entries) == []
    assert changes(target) == 1


async def test_a_second_apply_is_refused_by_the_fence_where_keys_mean_nothing(
    seeing: Shape, target: Target, tools: Toolbox
) -> None:
    target.settings.keys = False
    action = seeing.make()
    record = await applied(action, tools)
    with pytest.raises(Temporary):
        await action.apply("t", replace(record, state=RecordState.INTENDED), tools)
    assert changes(target) == 1


async def test_a_second_undo_changes_nothing(shape: Shape, target: Target, tools: Toolbox) -> None:
    action = shape.make()
    record = await applied(action, tools)
    await action.undo("t", record, tools)
    await action.undo("t", replace(record, state=RecordState.UNDO_INTENDED), tools)
    assert changes(target) == 2
    assert ledger.twice(target.ledger.entries) == []


# --- landed ---------------------------------------------------------------------------------------------------------


@pytest.mark.promise(6)
@pytest.mark.parametrize("fault", ["lost_reply", "applied_error", "applied_hang"])
async def test_landed_tells_what_was_applied_and_reported_as_failed(
    shape: Shape, target: Target, tools: Toolbox, hasty: Toolbox, fault: str
) -> None:
    action = shape.make()
    sending = hasty if "hang" in fault else tools
    record = await intended(action, tools)
    target.fault(fault)
    with pytest.raises(Uncertain):
        await action.apply("t", record, sending)
    assert await landed(action, record, "do", tools) is (Landed.UNKNOWN if shape.blind else Landed.YES)
    record = replace(record, state=RecordState.APPLIED, observed=record.planned)
    target.fault(fault)
    with pytest.raises(Uncertain):
        await action.undo("t", record, sending)
    assert await landed(action, record, "undo", tools) is (Landed.UNKNOWN if shape.blind else Landed.YES)
    assert len(ledger.effects(target.ledger.entries)) == 2


@pytest.mark.parametrize("fault", ["503", "reset", "hang"])
async def test_landed_tells_what_was_never_applied(
    shape: Shape, target: Target, tools: Toolbox, hasty: Toolbox, fault: str
) -> None:
    action = shape.make()
    sending = hasty if "hang" in fault else tools
    record = await intended(action, tools)
    target.fault(fault)
    with pytest.raises(Uncertain):
        await action.apply("t", record, sending)
    assert await landed(action, record, "do", tools) is (Landed.UNKNOWN if shape.blind else Landed.NO)
    record = await applied(action, tools)
    target.fault(fault)
    with pytest.raises(Uncertain):
        await action.undo("t", record, sending)
    assert await landed(action, record, "undo", tools) is (Landed.UNKNOWN if shape.blind else Landed.NO)
    assert changes(target) == 1


async def test_landed_does_not_know_what_somebody_else_has_changed(
    seeing: Shape, target: Target, tools: Toolbox
) -> None:
    action = seeing.make()
    record = await applied(action, tools)
    target.resources["it"] |= {"workers": 5, "paused": "partly", "mode": "odd"}
    assert await landed(action, record, "do", tools) is Landed.UNKNOWN
    assert await landed(action, record, "undo", tools) is Landed.UNKNOWN


@pytest.mark.parametrize("fault", ["503", "reset", "404"])
async def test_landed_guesses_nothing_when_the_target_cannot_be_read(
    seeing: Shape, target: Target, tools: Toolbox, fault: str
) -> None:
    action = seeing.make()
    record = await intended(action, tools)
    target.fault(fault, on="read")
    with pytest.raises(StepError):
        await landed(action, record, "do", tools)
    assert target.ledger.entries == []


# --- drift ----------------------------------------------------------------------------------------------------------


async def test_somebody_elses_edit_of_an_owned_field_is_drift_and_stands(
    seeing: Shape, target: Target, tools: Toolbox
) -> None:
    action = seeing.make()
    record = await applied(action, tools)
    target.resources["it"] |= {"workers": 5, "paused": "partly", "mode": "odd"}
    edited = dict(target.resources["it"])
    assert await action.drifted("t", record, tools)
    with pytest.raises(Drifted):
        await action.undo("t", record, tools)
    assert target.resources["it"] == edited


@pytest.mark.promise(16)
async def test_somebody_elses_edit_beside_ours_is_no_drift_and_survives(
    seeing: Shape, target: Target, tools: Toolbox
) -> None:
    action = seeing.make()
    record = await applied(action, tools)
    target.resources["it"]["colour"] = "red"
    assert not await action.drifted("t", record, tools)
    if seeing.arguments["send"] == "PATCH /admin/it" and "undo" not in seeing.arguments:
        await action.undo("t", record, tools)
        assert target.resources["it"] == {**START, "colour": "red"}


async def test_an_edit_between_the_snapshot_and_the_send_is_not_overwritten(
    seeing: Shape, target: Target, tools: Toolbox
) -> None:
    action = seeing.make()
    record = await intended(action, tools)
    target.resources["it"] |= {"workers": 5}
    with pytest.raises(Temporary):
        await action.apply("t", record, tools)
    assert target.resources["it"] == {**START, "workers": 5}


# --- refused, cancelled ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind"), [("409", Temporary), ("429", Temporary), ("403", Permanent), ("422", Permanent)]
)
async def test_a_refusal_says_that_nothing_happened(
    shape: Shape, target: Target, tools: Toolbox, fault: str, kind: type[StepError]
) -> None:
    action = shape.make()
    record = await intended(action, tools)
    target.fault(fault)
    with pytest.raises(kind):
        await action.apply("t", record, tools)
    assert target.resources["it"] == START


async def test_a_cancelled_apply_leaves_nothing_half_done(shape: Shape, target: Target) -> None:
    target.resources["it"] = dict(START)
    target.settings.latency_ms = 10_000
    patient = toolbox(target.url, seconds=30)
    action = shape.make()
    record = replace(record_of(action, Snapshot({**START})), fence="")
    task = asyncio.create_task(action.apply("t", record, patient))
    await asyncio.sleep(0.05)  # it has no event for "the request has arrived"; earlier or later must not matter
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    target.settings.latency_ms = 0
    assert target.resources["it"] == START
    now = await intended(action, patient)
    await action.apply("t", now, patient)
    assert changes(target) == 1
    await patient.close()


# --- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.promise(19)
@pytest.mark.parametrize("fault", ["", "403", "503", "reset"])
async def test_no_credential_gets_into_what_is_kept_or_said(
    shape: Shape, target: Target, tools: Toolbox, fault: str
) -> None:
    action = shape.make()
    said = [repr(action), json.dumps(action.arguments())]
    record = await intended(action, tools)
    if fault:
        target.fault(fault)
    try:
        said.append(repr(await action.apply("t", record, tools)))
    except StepError as error:
        said.append(f"{error!r} {error} {error.__cause__!r}")
    assert target.ledger.entries[0].headers["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in repr(record) + "".join(said)
