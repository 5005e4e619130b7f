"""Earlier pod templates of a workload, as the API keeps them."""

from typing import Any

import pytest

from responder.domain.revisions import Json, changes, current, difference, previous, revisions


def template(image: str) -> Json:
    volume: Json = {"name": "v", "ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"app": "db"}}}}}
    spec: Json = {"containers": [{"name": "c", "image": image}], "volumes": [volume]}
    return {"metadata": {"labels": {"app": "db"}}, "spec": spec}


def history(name: str, number: int, image: str, uid: str = "1") -> Json:
    kept: Any = template(image) | {"$patch": "replace"}
    kept["metadata"] = {"creationTimestamp": None, "labels": {"app": "db"}}
    kept["spec"]["volumes"][0]["ephemeral"]["volumeClaimTemplate"]["metadata"]["creationTimestamp"] = None
    metadata: Json = {"name": name, "ownerReferences": [{"uid": uid}]}
    return {"metadata": metadata, "revision": number, "data": {"spec": {"template": kept}}}


def test_a_time_that_was_never_set_makes_no_other_template() -> None:
    workload: Json = {"metadata": {"uid": "1"}, "spec": {"template": template("db:2")}}
    kept = [history("a", 1, "db:1"), history("c", 3, "db:3"), history("b", 2, "db:2"), history("x", 9, "db:9", "other")]
    found = revisions(workload, kept)
    assert [one.name for one in found] == ["c", "b", "a"]
    now = current(workload, found)
    assert now is not None
    assert now.name == "b"
    before, third = previous(now, found), previous(now, found, 3)
    assert before is not None
    assert third is not None
    assert (before.name, before.images) == ("a", {"c": "db:1"})
    assert third.name == "c"
    assert previous(now, found, 2) is None
    assert difference(template("db:2"), before.template) == {"spec": {"containers": [{"name": "c", "image": "db:1"}]}}


@pytest.mark.parametrize("kept", [[], [history("a", 1, "db:1")]])
def test_a_template_that_nothing_keeps_is_not_guessed(kept: list[Json]) -> None:
    workload: Json = {"metadata": {"uid": "1"}, "spec": {"template": template("db:2")}}
    assert current(workload, revisions(workload, kept)) is None


def test_what_differs_is_told_by_name_and_secrets_are_not() -> None:
    container: Json = {
        "name": "c",
        "image": "shop:1",
        "args": ["--token=planted"],
        "env": [{"name": "TOKEN", "value": "planted-1"}, {"name": "OLD", "value": "planted"}],
        "resources": {"limits": {"memory": "512Mi"}},
        "ports": [{"containerPort": 80}],
    }
    changed: Json = {
        "name": "c",
        "image": "shop:2",
        "args": ["--token=planted-too"],
        "env": [{"name": "TOKEN", "value": "planted-2"}, {"name": "NEW", "value": "planted"}],
        "resources": {"limits": {"memory": "1Gi"}},
        "ports": [{"containerPort": 81}],
    }
    before: Json = {"metadata": {"annotations": {"a": "planted"}}, "spec": {"containers": [container]}}
    now: Json = {"metadata": {"annotations": {"a": "planted-3"}}, "spec": {"containers": [changed, {"name": "side"}]}}
    found = [*changes(before, now)]
    assert found == [
        "metadata.annotations.a: changed",
        "spec.containers[c].image: shop:1 → shop:2",
        "spec.containers[c].args: changed",
        "spec.containers[c].env[TOKEN].value: changed",
        "spec.containers[c].env[OLD]: removed",
        "spec.containers[c].env[NEW]: added",
        "spec.containers[c].resources.limits.memory: 512Mi → 1Gi",
        "spec.containers[c].ports: changed",
        "spec.containers[side]: added",
    ]
    assert [*changes(now, now)] == []
