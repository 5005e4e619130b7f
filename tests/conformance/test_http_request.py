"""What ``http.request`` promises beyond what every action does: any image comes back, bounds hold, nothing slips in."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError

from responder.actions.http_request import Adjust, HttpRequest
from responder.clients.toolbox import HttpSpec, Toolbox
from responder.domain.errors import Permanent, Temporary, Uncertain
from responder.domain.portions import Portion
from tests.bed import ledger, target_peer
from tests.bed.target_peer import Target
from tests.conformance.action_bed import Shape, applied, intended, stored_object
from tests.conformance.bed_http import READ, SHAPES, START, http, toolbox

OURS = frozenset({"workers", "paused", "mode"})
SEEING = [shape for shape in SHAPES.values() if not shape.blind]


@pytest.fixture
async def tools(target: Target) -> AsyncIterator[Toolbox]:
    target.resources["it"] = dict(START)
    box = toolbox(target.url)
    yield box
    await box.close()


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Shape:
    return SHAPES[str(request.param)]


@pytest.fixture(params=SEEING, ids=lambda shape: str(shape.arguments))
def seeing(request: pytest.FixtureRequest) -> Shape:
    found = request.param
    assert isinstance(found, Shape)
    return found


# --- what is sent ---------------------------------------------------------------------------------------------------


async def test_a_snapshot_holds_owned_keys_only(seeing: Shape, tools: Toolbox) -> None:
    image = (await seeing.make().snapshot("t", tools)).image
    assert isinstance(image, dict)
    assert set(image) <= OURS


async def test_a_pointer_leads_to_the_owned_keys_and_what_is_not_there_is_an_error(
    target: Target, tools: Toolbox
) -> None:
    target.resources["deep"] = {"data": [{"workers": 4, "colour": "blue"}], "workers": 99}
    given = {"service": "shop", "read": "GET /admin/deep", "send": "PATCH /admin/deep", "set": {"workers": {"by": 2}}}
    action = HttpRequest.model_validate({**given, "pointer": "/data/0"})
    snapshot = await action.snapshot("t", tools)
    assert snapshot.image == {"workers": 4}
    assert action.change(snapshot.image) == {"workers": 6}
    with pytest.raises(Permanent, match="lacks one of workers at /data/1"):
        await HttpRequest.model_validate({**given, "pointer": "/data/1"}).snapshot("t", tools)
    with pytest.raises(ValidationError, match="is not a JSON pointer"):
        HttpRequest.model_validate({**given, "pointer": "data"})


async def test_an_answer_that_is_longer_than_the_connection_allows_is_an_error(target: Target) -> None:
    spec = HttpSpec(target.url, ("* /*",), {}, lambda: None, timedelta(seconds=5), most=20)
    target.resources["it"] = dict(START)
    box = Toolbox({"shop": spec}, {})
    given = {"service": "shop", "read": READ, "send": "PUT /admin/it", "json": {"mode": 1}}
    with pytest.raises(Temporary, match="longer than 20 bytes"):
        await HttpRequest.model_validate(given).snapshot("t", box)
    await box.close()


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


async def test_a_repeated_send_is_answered_by_its_key(shape: Shape, target: Target, tools: Toolbox) -> None:
    action = shape.make()
    record = await applied(action, tools)
    assert await action.apply("t", record, tools) == record.observed
    assert ledger.twice(target.ledger.entries) == []


async def test_a_second_apply_is_refused_by_the_fence_where_keys_mean_nothing(
    seeing: Shape, target: Target, tools: Toolbox
) -> None:
    target.settings.keys = False
    action = seeing.make()
    record = await applied(action, tools)
    with pytest.raises(Temporary):
        await action.apply("t", record, tools)
    assert len(ledger.effects(target.ledger.entries)) == 1


async def test_an_edit_between_the_snapshot_and_the_send_is_worth_another_try(
    seeing: Shape, target: Target, tools: Toolbox
) -> None:
    action = seeing.make()
    record = await intended(action, tools)
    target.resources["it"] |= {"workers": 5}
    with pytest.raises(Temporary):
        await action.apply("t", record, tools)
    assert target.resources["it"] == {**START, "workers": 5}


# --- any before-image -----------------------------------------------------------------------------------------------

numbers = st.integers(-(2**62), 2**62) | st.floats(-1e15, 1e15, allow_nan=False)
leaves = (
    st.none()
    | st.booleans()
    | numbers
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="ascii", min_codepoint=1), max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def holdable(values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return what the peer can hold: to it, as in a merge patch (RFC 7396), null removes a key."""
    return {key: "null" if value is None else value for key, value in values.items()}


@asynccontextmanager
async def fresh(resource: Mapping[str, object]) -> AsyncIterator[tuple[Target, Toolbox]]:
    async with target_peer.target() as running:
        running.resources["it"] = dict(resource)
        box = toolbox(running.url)
        try:
            yield running, box
        finally:
            await box.close()


@given(
    before=st.fixed_dictionaries({"a": values, "b": values}),
    others=st.dictionaries(st.sampled_from(["c", "d"]), values, max_size=2),
    # A text where a number stands is sent as a number, or refused: another test's matter.
    wanted=st.fixed_dictionaries({"a": values.map(lambda value: [value]), "b": values.map(lambda value: {"x": value})}),
)
@example(before={"a": "\\u0000", "b": None}, others={}, wanted={"a": [None], "b": {"x": "\\ud800"}})
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
async def test_any_image_is_put_back_exactly_and_the_rest_is_left_alone(
    before: dict[str, JsonValue], others: dict[str, JsonValue], wanted: dict[str, JsonValue]
) -> None:
    image, rest, goal = holdable(before), holdable(others), holdable(wanted)
    async with fresh({**image, **rest}) as (target, tools):
        action = HttpRequest.model_validate({"service": "shop", "read": READ, "send": "PATCH /admin/it", "json": goal})
        record = await applied(action, tools)
        assert record.before == image
        await action.undo("t", record, tools)
        assert target.resources["it"] == {**image, **rest}


@given(
    before=numbers,
    by=st.integers(-1000, 1000) | st.floats(-1000, 1000),
    low=st.none() | st.integers(-100, 100),
    more=st.none() | st.integers(0, 100),
)
def test_an_adjustment_goes_its_way_stays_within_its_bounds_and_never_turns_round(
    before: float, by: float, low: int | None, more: int | None
) -> None:
    high = None if more is None else (low or 0) + more
    after = Adjust.model_validate({"by": by, "min": low, "max": high}).of("n", before)
    assert isinstance(after, int | float)
    assert after >= before if by > 0 else after <= before
    if low is not None and before >= low and by <= 0:
        assert after >= low
    if high is not None and before <= high and by >= 0:
        assert after <= high
    if low is None and high is None and isinstance(before, int) and isinstance(by, int):
        assert after == before + by  # exactly, however great


@pytest.mark.parametrize("before", [None, True, "4", [4], {}, float("1e308")])
def test_what_is_no_number_or_would_be_none_is_refused(before: JsonValue) -> None:
    with pytest.raises(ValueError, match="n is"):
        Adjust(by=1e308).of("n", before)


def test_whole_numbers_keep_their_digits() -> None:
    assert Adjust(by=1).of("n", 2**60 + 1) == 2**60 + 2
    assert Adjust(by=-1, min=0).of("n", 10**400) == 10**400 - 1
    assert Adjust(by=0.5).of("n", 1) == 1.5


def test_to_needs_no_number_to_start_from() -> None:
    assert Adjust(to=7).of("n", None) == 7
    assert Adjust(to=700, max=8).of("n", "x") == 8
    assert Adjust(to=0.5).of("n", 1) == 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"by": 1, "to": 2},
        {},
        {"by": float("nan")},
        {"to": float("inf")},
        {"by": 1, "max": float("inf")},
        {"by": 1, "min": 5, "max": 4},
        {"by": 1, "step": 2},
    ],
)
def test_an_adjustment_that_cannot_be_meant_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Adjust.model_validate(wrong)


# --- http.request's own rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"json": {"a": 1}, "set": {"a": {"by": 1}}},
        {},
        {"read": None, "set": {"a": {"by": 1}}},
        {"read": None, "json": {"a": 1}},
        {"json": {"a": 1}, "read": "POST /admin/it"},
        {"json": {"a": 1}, "send": "GET /admin/it"},
        {"json": {"a": 1}, "undo": "GET /admin/it"},
        {"json": {"a": 1}, "send": "PATCH http://evil.example/"},
        {"json": {"a": 1}, "send": "patch /admin/it"},
        {"json": {"a": 1}, "send": "/admin/it"},
        {"json": {"a": 1}, "headers": {"X-A": "1\r\nX-Evil: 1"}},
        {"json": {"a": 1}, "headers": {"X-A\n": "1"}},
        {"json": {"a": 1}, "headers": {"Host": "evil.example"}},
        {"json": {"a": 1}, "headers": {"authorization": "Bearer x"}},
        {"json": {"a": 1}, "headers": {"If-Match": "*"}},
        {"json": {"a": 1}, "headers": {"idempotency-key": "1"}},
        {"json": {"a": 1}, "headers": {"X-HTTP-Method-Override": "DELETE"}},
    ],
)
def test_a_request_that_cannot_be_kept_to_the_rules_is_refused(wrong: dict[str, JsonValue]) -> None:
    with pytest.raises(ValidationError):
        HttpRequest.model_validate({"service": "shop", "read": READ, "send": "PATCH /admin/it", **wrong})


async def test_further_headers_are_sent_beside_ours(target: Target, tools: Toolbox) -> None:
    action = http(read=READ, json={"paused": True}, headers={"X-Reason": "alert"}).make()
    await applied(action, tools)
    assert target.ledger.entries[0].headers["X-Reason"] == "alert"
    assert target.ledger.entries[0].key


async def test_a_resource_without_an_owned_key_is_refused_before_anything_is_sent(
    target: Target, tools: Toolbox
) -> None:
    action = http(read=READ, json={"nothing": True}).make()
    with pytest.raises(Permanent, match="nothing"):
        await action.snapshot("t", tools)
    target.resources["it"] = {}
    with pytest.raises(Permanent):
        await SHAPES["set by"].make().snapshot("t", tools)


@pytest.mark.parametrize("value", ["\0", "a\0b", {"\0": 1}, ["\ud800"], [[{"a": "\udfff"}]]])
async def test_what_no_store_keeps_is_not_changed(target: Target, tools: Toolbox, value: JsonValue) -> None:
    target.resources["it"] = {"paused": value}
    with pytest.raises(Permanent, match="paused"):
        await SHAPES["post"].make().snapshot("t", tools)


@pytest.mark.parametrize("before", [{"paused": None, "mode": "normal"}, {"paused": {"by": "ana"}, "mode": "normal"}])
async def test_an_undo_that_did_not_bring_the_old_values_back_is_in_doubt(
    target: Target, tools: Toolbox, before: dict[str, JsonValue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer drops a null, as in a merge patch; and a service may clamp what it is sent, or merge it."""
    target.resources["it"] |= before
    action = SHAPES["json"].make()
    record = await applied(action, tools)
    changed = target_peer._changed
    monkeypatch.setattr(target_peer, "_changed", lambda wish, now: {**changed(wish, now), "mode": "clamped"})
    with pytest.raises(Uncertain):
        await action.undo("t", record, tools)


async def test_a_weak_etag_is_no_fence(target: Target, tools: Toolbox, monkeypatch: pytest.MonkeyPatch) -> None:
    strong = Target._etag
    monkeypatch.setattr(Target, "_etag", lambda self, name: f"W/{strong(self, name)}")
    snapshot = await SHAPES["json"].make().snapshot("t", tools)
    assert snapshot.fence == ""


# --- in portions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_it_can_be_gradual_where_it_sets_a_number(name: str) -> None:
    shape = SHAPES[name]
    assert (not type(shape.make()).not_gradual(shape.arguments)) == ("set" in shape.arguments)


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
