"""What ``responder rbac`` prints is granted to a service account, and is what the actions and probes get by with."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml

from responder.app import catalogue
from responder.cli.rbac import manifests, run_rbac
from responder.clients.toolbox import ClusterSpec, Toolbox
from responder.domain.errors import Permanent
from responder.playbook.rights import rules_for
from responder.playbook.schema import load_playbook
from tests.bed.kube.cluster import Cluster
from tests.conformance import bed_kubernetes
from tests.conformance.action_bed import Shape, applied

SHAPES = {
    name: shape for name, shape in bed_kubernetes.SHAPES.items() if not name.startswith(("scale by,", "scale to"))
}
PROBES = {
    "rollout": "deployment/shop/web",
    "revision": "statefulset/shop/db",
    "pods": "deployment/shop/web",
    "events": "deployment/shop/web",
    "logs": "statefulset/shop/db",
    "hpa": "deployment/shop/scaled",
    "nodes": "",
    "job": "cronjob/shop/nightly",
    "owner": "pod/shop/one",
    "quota": "namespace/shop",
    "top": "deployment/shop/web",
}


def playbook(target: str, step: str = "", condition: str = "query: up\n    above: 0") -> str:
    steps = f"steps:\n  - id: it\n    {step}\n" if step else "steps:\n  - kubernetes.cordon: {}\n"
    return f"""\
schema: 1
name: it
summary: It.
mode: observe
matchers:
  - alertname="A"
target: {target}
{steps}verify:
  - {condition}
"""


def granted(text: str) -> str:
    rules = rules_for([load_playbook(text, "it.yaml", catalogue(), None)])
    return manifests(rules, [], "ops/responder")


@asynccontextmanager
async def allowed(shape: Shape, printed: str, folder: Path) -> AsyncIterator[tuple[Cluster, Toolbox]]:
    """Give a cluster, and tools that may do there what was printed and nothing else."""
    async with Cluster(nodes=0, automatic=shape.action.startswith("argocd")) as cluster:
        bed_kubernetes.begin(cluster)
        token = cluster.account_token("ops", "responder")
        cluster.apply(document for document in yaml.safe_load_all(printed) if document)
        path = cluster.kubeconfig(folder / "kubeconfig", token)
        tools = Toolbox({}, {}, clusters={"eu": ClusterSpec(path)})
        yield cluster, tools
        await tools.close()


@pytest.mark.parametrize("name", SHAPES)
async def test_what_is_granted_is_what_an_action_needs(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    kind = shape.kind
    undo = "\n    undo: none" if kind.undoes == "impossible" else ""
    arguments = yaml.safe_dump(dict(shape.arguments), default_flow_style=True, width=1000).strip()
    target = shape.target.partition("/")[2]
    printed = granted(playbook(target, f"{shape.action}: {arguments}{undo}"))
    async with allowed(shape, printed, tmp_path) as (cluster, tools):
        action = shape.make()
        record = await applied(action, tools, shape.target)
        await action.landed(shape.target, record, "do", tools)
        if shape.restores:
            await action.undo(shape.target, record, tools)
        assert len(cluster.ledger.effects()) == (2 if shape.restores else 1)
    needed = [rule for rule in rules(printed) if "argoproj" not in str(rule) and "fluxcd" not in str(rule)]
    for left_out in needed:
        less = printed.replace(f"  - {left_out['resources'][0]}\n", "  - nothing\n", 1)
        async with allowed(shape, less, tmp_path) as (cluster, tools):
            with pytest.raises(Permanent, match="cannot"):
                await applied(shape.make(), tools, shape.target)
            assert cluster.ledger.effects() == []


@pytest.mark.parametrize("name", PROBES)
async def test_what_is_granted_is_what_a_probe_needs(name: str, tmp_path: Path) -> None:
    of = PROBES[name]
    given = f"\n    with: {{ of: {of} }}" if of else ""
    text = playbook("node/node-1", condition=f"probe: kubernetes.{name}{given}\n    equals: 0")
    probe = catalogue().probes[f"kubernetes.{name}"].model_validate({"of": of} if of else {})
    async with allowed(SHAPES["cordon"], granted(text), tmp_path) as (_, tools):
        await probe.look({}, tools)


def rules(printed: str) -> list[dict[str, Any]]:
    return [rule for one in yaml.safe_load_all(printed) if one for rule in one.get("rules", ())]


def test_rights_are_narrowed_to_the_kind_of_the_target() -> None:
    printed = granted(playbook("deployment/shop/web", "kubernetes.scale: { to: 3 }"))
    changed = {rule["resources"][0] for rule in rules(printed) if "patch" in rule["verbs"]}
    asked = {rule["resources"][0] for rule in rules(printed)} - changed - {"applications"}
    assert changed == {"deployments"}
    assert asked == {"horizontalpodautoscalers", "helmreleases", "kustomizations"}


@pytest.mark.parametrize(("kind", "kept_as"), [("deployment", "replicasets"), ("daemonset", "controllerrevisions")])
def test_only_what_keeps_the_revisions_of_a_kind_is_listed(kind: str, kept_as: str) -> None:
    printed = granted(playbook(f"{kind}/shop/web", "kubernetes.rollout_undo: {}"))
    listed = {rule["resources"][0] for rule in rules(printed) if rule["verbs"] == ["list"]}
    assert listed == {kept_as, "applications"}


def test_with_namespaces_only_what_has_none_is_granted_everywhere(tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "it.yaml").write_text(
        playbook("deployment/shop/web", "kubernetes.rollout_undo: {}", "probe: kubernetes.nodes\n    equals: 0")
    )
    (tmp_path / "responder.yml").write_text("kubernetes: { clusters: { eu: in-cluster } }\n")
    out = io.StringIO()
    with redirect_stdout(out):
        assert run_rbac(tmp_path / "responder.yml", ["shop", "web"], "ops/responder") == 0
    documents = [one for one in yaml.safe_load_all(out.getvalue()) if one]
    assert [(one["kind"], one["metadata"].get("namespace", "")) for one in documents] == [
        ("ClusterRole", ""),
        ("ClusterRoleBinding", ""),
        ("Role", "shop"),
        ("RoleBinding", "shop"),
        ("Role", "web"),
        ("RoleBinding", "web"),
    ]
    wide = {rule["resources"][0] for rule in documents[0]["rules"]}
    assert wide == {"nodes", "applications", "kustomizations", "helmreleases"}
    assert documents[1]["subjects"] == [{"kind": "ServiceAccount", "name": "responder", "namespace": "ops"}]
    assert "# deployments (get, patch): it" in out.getvalue()


def test_what_looks_up_an_owner_is_granted_and_no_more() -> None:
    restart = "kubernetes.rollout_restart: {}\n    undo: none"
    owned = granted(playbook("deployment/shop/{{ owner.deployment }}", restart))
    assert "# pods (get): it" in owned
    assert "# replicasets (get): it" in owned
    assert "# jobs" not in owned
    assert "# replicasets" not in granted(playbook("daemonset/shop/{{ owner.daemonset }}", restart))
    scaled = granted(playbook("hpa/shop/api", "kubernetes.scale: { by: 1, max: 3 }"))
    assert "# deployments (get, patch): it" in scaled
    assert "# horizontalpodautoscalers (get, list): it" in scaled
