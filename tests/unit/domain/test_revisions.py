"""Earlier pod templates of a workload, as the API keeps them."""

import pytest

from responder.domain.revisions import Json, current, difference, previous, revisions


def template(image: str) -> Json:
    return {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": image}]}}


def history(name: str, number: int, image: str, uid: str = "1") -> Json:
    kept: Json = template(image) | {"$patch": "replace"}
    kept["metadata"] = {"creationTimestamp": None, "labels": {"app": "db"}}
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
    assert difference(template("db:2"), before.template) == {"spec": before.template["spec"]}


@pytest.mark.parametrize("kept", [[], [history("a", 1, "db:1")]])
def test_a_template_that_nothing_keeps_is_not_guessed(kept: list[Json]) -> None:
    workload: Json = {"metadata": {"uid": "1"}, "spec": {"template": template("db:2")}}
    assert current(workload, revisions(workload, kept)) is None
