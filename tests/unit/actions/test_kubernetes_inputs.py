"""What the actions on Kubernetes objects take, and what they plan: bounds are kept, and nothing is guessed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError

from responder.actions.kubernetes_expand_pvc import ExpandPvc
from responder.actions.kubernetes_scale import Scale
from responder.app import catalogue
from responder.domain.errors import PlaybookError
from responder.domain.kubernetes import place_of
from responder.domain.quantities import amount
from responder.domain.revisions import difference
from responder.playbook.schema import load_playbook

ACTIONS = catalogue().actions


@given(
    now=st.integers(0, 100),
    by=st.integers(-20, 20).filter(bool),
    low=st.integers(0, 30),
    more=st.integers(0, 50),
)
def test_scaling_by_never_takes_away_when_it_adds_and_keeps_its_bounds(now: int, by: int, low: int, more: int) -> None:
    most = max(low, 1) + more
    action = Scale(by=by, min=low, max=most)
    if now == 0 and by > 0:
        with pytest.raises(ValueError, match="switched it off"):
            action.change({"replicas": 0})
        return
    planned = action.change({"replicas": now})
    assert isinstance(planned, dict)
    wanted = planned["replicas"]
    assert isinstance(wanted, int)
    assert abs(wanted - now) <= abs(by)
    assert (wanted - now) * by >= 0
    assert wanted == now or (wanted <= most if by > 0 else wanted >= low)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("scale", {}),
        ("scale", {"by": 2}),
        ("scale", {"by": 0, "max": 3}),
        ("scale", {"by": 1, "to": 2, "max": 3}),
        ("scale", {"to": 5, "max": 3}),
        ("scale", {"to": -1}),
        ("hpa", {}),
        ("hpa", {"min": 5, "max": 3}),
        ("annotate", {"annotations": {}}),
        ("annotate", {"annotations": {"responder.dev/record": "x"}}),
        ("annotate", {"annotations": {"not a key": "x"}}),
        ("patch", {"set": {"/status/replicas": 1}}),
        ("patch", {"set": {"/spec": 1}}),
        ("patch", {"set": {"/spec/replicas": 1}}),
        ("patch", {"set": {"/spec/template/spec/nodeName": "a"}}),
        ("patch", {"set": {"/spec/strategy": {"type": "Recreate"}}}),
        ("set_resources", {"container": "c"}),
        ("set_resources", {"container": "c", "limits": {"cpu": "much"}}),
        ("set_resources", {"container": "c", "limits": {"cpu": "0"}}),
        ("taint", {"key": "a", "effect": "Sometimes"}),
        ("evict_pod", {"grace": -1}),
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ACTIONS[f"kubernetes.{name}"].model_validate(arguments)


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", "0.5"), ("2", "2"), ("1.5", "1.5"), ("512Mi", "536870912"), ("1k", "1000"), ("1Gi", "1073741824")],
)
def test_a_quantity_is_a_number_however_it_is_written(text: str, number: str) -> None:
    assert str(amount(text).normalize() if "." in number else amount(text)) in {number, f"{number}.0"}  # type: ignore[union-attr]  # it is one


@pytest.mark.parametrize("text", ["", "m", "1 Gi", "1gb", "-1", "1e3", None, 5])
def test_what_is_no_quantity_is_none(text: JsonValue) -> None:
    assert amount(text) is None


json_objects = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=2) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def merged(now: JsonValue, patch: JsonValue) -> JsonValue:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(now) if isinstance(now, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@given(now=json_objects, goal=json_objects)
def test_a_difference_makes_the_goal_of_what_there_is(now: JsonValue, goal: JsonValue) -> None:
    assert merged(now, difference(now, goal)) == goal


@pytest.mark.parametrize(
    "target",
    [
        "eu/deployment/shop/web",
        "eu/node/worker-1.example.com",
        "eu/namespace/shop",
        "eu/pod/kube-system/coredns-5d78c9869d-x",
    ],
)
def test_a_target_names_an_object(target: str) -> None:
    place = place_of(target)
    assert place.target == target
    assert place.path.startswith("/api")


@pytest.mark.parametrize(
    "target",
    [
        "eu/deployment/web",
        "eu/node/a/b",
        "eu/http/a/b",
        "http/a",
        "eu/deployment/../web",
        "eu/deployment/s/A",
        "eu/pod/a/b%2f",
        "eu/pod//b",
    ],
)
def test_a_target_that_names_none_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="target"):
        place_of(target)


def playbook(target: str, step: str) -> str:
    return f"""\
schema: 1
name: it
summary: It.
mode: observe
matchers:
  - alertname="A"
target: {target}
steps:
  - {step}
verify:
  - query: up
    above: 0
"""


def test_an_action_is_refused_on_a_target_of_another_kind() -> None:
    load_playbook(playbook("deployment/shop/web", "kubernetes.rollout_pause: {}"), "a.yaml", catalogue(), None)
    for target in ("node/a", "http/checkout"):
        with pytest.raises(PlaybookError, match=r"works on deployment, and the target is .* \[target-kind\]"):
            load_playbook(playbook(target, "kubernetes.rollout_pause: {}"), "a.yaml", catalogue(), None)


@pytest.mark.parametrize(
    ("written", "planned"),
    [
        ({"to": "20Gi"}, "20Gi"),
        ({"factor": 1.5, "max": "200Gi"}, "15Gi"),
        ({"factor": 1.41, "max": "200Gi"}, "15Gi"),
        ({"factor": 4, "max": "30Gi"}, "30Gi"),
        ({"to": "10240Mi"}, "10Gi"),
    ],
)
def test_a_volume_grows_within_its_bound(written: dict[str, Any], planned: str) -> None:
    assert ExpandPvc.model_validate(written).change({"storage": "10Gi"}) == {"storage": planned}


def test_a_volume_is_never_made_smaller() -> None:
    with pytest.raises(ValueError, match="no volume can be made smaller"):
        ExpandPvc(to="5Gi").change({"storage": "10Gi"})
    for written in ({}, {"to": "5Gi", "factor": 2.0, "max": "9Gi"}, {"factor": 2.0}, {"to": "big"}):
        with pytest.raises(ValidationError):
            ExpandPvc.model_validate(written)
