"""Which cluster an alert is about, as the configuration and the playbook say: one, and a known one, or none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from responder.app.parts import own_protection, rules_of
from responder.domain.targets import is_protected
from responder.language.templates import Template
from responder.settings.model import Cluster, KubernetesSettings, Settings
from tests.unit.decide.bed import alert, playbook, scene


@pytest.mark.parametrize(
    ("clusters", "named", "labels", "target", "word"),
    [
        (("eu",), None, {}, "eu/node/checkout", "run"),
        (("eu", "us"), None, {"where": "us"}, "us/node/checkout", "run"),
        (("eu", "us"), "{{ labels.region }}", {"region": "eu"}, "eu/node/checkout", "run"),
        (("eu", "us"), "us", {"where": "eu"}, "us/node/checkout", "run"),
        (("eu", "us"), None, {}, "", "cluster_unknown"),
        (("eu",), None, {"where": "us"}, "", "cluster_unknown"),
        (("eu", "us"), "{{ labels.region }}", {"region": "mars"}, "", "cluster_unknown"),
        (("eu", "us"), "{{ labels.region }}", {}, "", "label_missing"),
        ((), None, {}, "", "cluster_unknown"),
        ((), None, {"where": "eu"}, "", "cluster_unknown"),
    ],
)
async def test_a_target_is_in_the_cluster_that_is_named_and_in_no_other(
    clusters: tuple[str, ...], named: str | None, labels: dict[str, Any], target: str, word: str
) -> None:
    settings = Settings(kubernetes=KubernetesSettings("where", {name: Cluster() for name in clusters}))
    rules = rules_of(settings)
    one = playbook(target="node/{{ labels.service }}")
    one = replace(one, cluster=None if named is None else Template.parse(named))
    s = scene(one, cluster_of=rules.cluster_of, clusters=rules.clusters)
    await s.turn(alert(**labels))
    assert s.world.last().verdict == word
    assert [run.target for run in s.world.runs.values()] == ([target] if target else [])


def test_the_clusters_own_namespace_and_ours_are_protected_without_being_told(tmp_path: Path) -> None:
    file = tmp_path / "namespace"
    file.write_text("ops\n")
    protect = own_protection(file)
    assert is_protected("eu/deployment/kube-system/coredns", protect)
    assert is_protected("eu/pod/ops/responder-1", protect)
    assert not is_protected("eu/deployment/shop/api", protect)
    assert not is_protected("eu/node/worker-1", protect)
    assert own_protection(tmp_path / "none") == ("*/namespace/kube-system",)
