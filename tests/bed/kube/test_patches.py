"""The patch types by their own rules, without a server."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bed.kube.errors import ApiError
from tests.bed.kube.fields import Owner, applied, applied_fields, compare, written
from tests.bed.kube.kinds import Json, named
from tests.bed.kube.patches import json_patch, merge, strategic
from tests.bed.web import JsonObject

RFC7396 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
"""The examples of appendix A."""

JSON: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


@pytest.mark.parametrize(("target", "patch", "result"), RFC7396)
def test_merge_patches_follow_the_rfc(target: Json, patch: Json, result: Json) -> None:
    assert merge(target, patch) == result


@settings(max_examples=50)
@given(OBJECTS, OBJECTS)
def test_a_merge_is_idempotent_and_leaves_its_target_alone(target: JsonObject, patch: JsonObject) -> None:
    before = repr(target)
    once = merge(target, patch)
    assert merge(once, patch) == once
    assert repr(target) == before
    assert strategic(target, patch) == once  # without lists of named things they are the same


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        ([{"op": "add", "path": "/a/1", "value": 9}], {"a": [1, 9, 2], "b/c": 1}),
        ([{"op": "add", "path": "/a/-", "value": 9}], {"a": [1, 2, 9], "b/c": 1}),
        ([{"op": "remove", "path": "/a/0"}], {"a": [2], "b/c": 1}),
        ([{"op": "replace", "path": "/b~1c", "value": 2}], {"a": [1, 2], "b/c": 2}),
        ([{"op": "move", "from": "/a/0", "path": "/d"}], {"a": [2], "b/c": 1, "d": 1}),
        ([{"op": "copy", "from": "/a", "path": "/d"}], {"a": [1, 2], "b/c": 1, "d": [1, 2]}),
        ([{"op": "test", "path": "/a", "value": [1, 2]}], {"a": [1, 2], "b/c": 1}),
    ],
)
def test_json_patches_follow_the_rfc(operations: list[JsonObject], result: Json) -> None:
    assert json_patch({"a": [1, 2], "b/c": 1}, operations) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/nope"},
        {"op": "replace", "path": "/nope", "value": 1},
        {"op": "add", "path": "/a/9", "value": 1},
        {"op": "add", "path": "/no/where", "value": 1},
        {"op": "test", "path": "/a", "value": []},
        {"op": "dance", "path": "/a"},
        {"path": "/a"},
    ],
)
def test_one_bad_operation_refuses_them_all(operation: JsonObject) -> None:
    target = {"a": [1, 2]}
    with pytest.raises(ApiError) as refused:
        json_patch(target, [{"op": "remove", "path": "/a/0"}, operation])
    assert (refused.value.code, target) == (422, {"a": [1, 2]})


def test_a_strategic_patch_replaces_lists_without_a_key() -> None:
    target = {"spec": {"containers": [{"name": "c", "args": ["a", "b"]}], "tolerations": [{"key": "x"}]}}
    patch = {"spec": {"containers": [{"name": "c", "args": ["z"]}], "tolerations": []}}
    assert strategic(target, patch) == {"spec": {"containers": [{"name": "c", "args": ["z"]}], "tolerations": []}}


def test_a_strategic_patch_needs_the_key_of_an_item() -> None:
    with pytest.raises(ApiError, match="declared merge key: name"):
        strategic({"containers": []}, {"containers": [{"image": "x"}]})


def test_ports_are_merged_by_what_they_are() -> None:
    containers = strategic({"ports": [{"containerPort": 80}]}, {"ports": [{"containerPort": 81}]})
    services = strategic({"ports": [{"port": 80, "name": "a"}]}, {"ports": [{"port": 80, "name": "b"}]})
    assert containers == {"ports": [{"containerPort": 80}, {"containerPort": 81}]}
    assert services == {"ports": [{"port": 80, "name": "b"}]}


def manifest(data: JsonObject) -> JsonObject:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}, "data": data}


DATA = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xyz"), max_size=4)
ONE, TWO = Owner("one", "Apply"), Owner("two", "Apply")


@settings(max_examples=50)
@given(DATA, DATA)
def test_two_appliers_hold_what_each_wants(first: JsonObject, second: JsonObject) -> None:
    kind = named("ConfigMap")
    live = manifest(first)
    applied_fields(None, manifest(first), live, ONE, "t")
    merged = applied(kind, live, manifest(second), TWO, force=True)
    applied_fields(live, manifest(second), merged, TWO, "t")
    assert merged["data"] == {**first, **second}
    alone = applied(kind, merged, manifest({}), TWO, force=False)
    assert alone["data"] == {**{key: second.get(key, one) for key, one in first.items() if key not in second}} | {
        key: one for key, one in second.items() if first.get(key) == one
    }


@settings(max_examples=50)
@given(DATA, DATA)
def test_an_update_takes_what_it_changes(first: JsonObject, second: JsonObject) -> None:
    kind, before, after = named("ConfigMap"), manifest(first), manifest(second)
    written(kind, None, before, Owner("one"), "t")
    written(kind, before, after, Owner("two"), "t")
    owners = {
        entry["manager"]: entry["fieldsV1"].get("f:data", {}) for entry in after["metadata"].get("managedFields", ())
    }
    theirs = {key for key, one in second.items() if first.get(key) != one}
    assert {key[2:] for key in owners.get("two", {}) if key != "."} == theirs
    assert {key[2:] for key in owners.get("one", {}) if key != "."} == second.keys() - theirs


@settings(max_examples=50)
@given(OBJECTS)
def test_nothing_changes_between_a_thing_and_itself(obj: JsonObject) -> None:
    assert compare(obj, obj) == (set(), set())
