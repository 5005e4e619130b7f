"""Alerts that name pods, playbooks that change what made them: looked up by the run, and one run for all of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from responder.act.actor import take_turn
from responder.app import catalogue
from responder.app.parts import rules_of
from responder.clients.toolbox import ClusterSpec, Toolbox
from responder.decide.decider import Decider
from responder.domain.targets import is_protected
from responder.intake.formats import parse
from responder.playbook.library import load_library
from responder.ports.store import Kind
from responder.settings.model import Cluster as ClusterSettings
from responder.settings.model import KubernetesSettings, Settings
from tests.act_bed import open_bed
from tests.bed.alerts import alert, webhook
from tests.bed.kube.cluster import Cluster
from tests.bed.kube.images import Behaviour
from tests.bed.stores import embedded
from tests.conformance.bed_kubernetes import workload
from tests.line.test_line import Line, _ignore

Alert = Mapping[str, object]
PODS = 30
PLAYBOOK = """\
schema: 1
name: undo-the-release
summary: Go back while pods crash.
mode: auto
matchers:
  - alertname="PodCrashing"
target: deployment/{{ labels.namespace }}/{{ owner.deployment }}
limits:
  concurrent: 1
  per_target: 1 per 1h
  mass_failure: { share: 20%, total: 10 }
steps:
  - id: undo
    kubernetes.rollout_undo: {}
verify:
  - name: rolled out
    probe: kubernetes.rollout
    with:
      of: deployment/{{ labels.namespace }}/{{ owner.deployment }}
    equals: true
    within: 20s
    for: 100ms
"""
CEILING = """\
schema: 1
name: more-room
summary: Raise the ceiling.
mode: auto
matchers:
  - alertname="AtTheCeiling"
target: hpa/{{ labels.namespace }}/{{ labels.horizontalpodautoscaler }}
steps:
  - id: raise
    kubernetes.hpa: { max: 9 }
verify:
  - name: the ceiling
    probe: kubernetes.hpa
    with: { of: deployment/shop/web, read: max }
    equals: 9
    within: 5s
"""
FALLBACK = """\
schema: 1
name: tell-us
summary: Somebody has to look.
priority: 200
matchers:
  - alertname="PodCrashing"
"""
SCALED = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "web-scaler", "namespace": "shop"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 1,
        "maxReplicas": 5,
    },
}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(nodes=2) as one:
        one.apply(workload("Deployment", "web", "shop:1"))
        one.settled()
        yield one


@pytest.fixture
async def line(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Line]:
    bed = await open_bed(embedded(tmp_path / "r.db"), "http://127.0.0.1:1")
    tools = Toolbox({}, {}, clusters={"prod-eu": ClusterSpec(cluster.kubeconfig(tmp_path / "kubeconfig"))})
    folder = tmp_path / "playbooks"
    folder.mkdir()
    for name, text in {"undo": PLAYBOOK, "ceiling": CEILING, "tell": FALLBACK}.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    library = load_library([folder], catalogue(), None, {})
    assert not library.complaints, library.complaints
    for playbook in library.playbooks.values():
        bed.playbooks[playbook.revision] = playbook
    settings = Settings(kubernetes=KubernetesSettings("cluster", {"prod-eu": ClusterSettings()}))
    rules = replace(rules_of(settings), protect=("*/deployment/*/precious",))
    engine = replace(bed.engine, tools=tools, protected=lambda target: is_protected(target, rules.protect))
    decider = Decider(
        bed.store, lambda: library, lambda: rules, lambda _, body: parse("alertmanager", body), on_fact=_ignore
    )
    yield Line(replace(bed, engine=engine, tools=tools), decider)
    await tools.close()
    await bed.store.close()


def crashing(cluster: Cluster, app: str, kind: str = "Deployment", count: int = 2) -> list[Alert]:
    """Let a release crash, and return an alert for each of its pods."""
    cluster.images["shop:bad"] = Behaviour.crashes()
    bad = workload(kind, app, "shop:bad")
    if "replicas" in bad["spec"]:
        bad["spec"]["replicas"] = count
    cluster.apply(bad)
    cluster.settled()
    pods = [pod["metadata"]["name"] for pod in cluster.pods("shop", app)]
    return [alert(alertname="PodCrashing", namespace="shop", pod=name) for name in pods]


async def rows(line: Line, kind: Kind) -> list[dict[str, object]]:
    found = await line.bed.store.page(kind, {}, 200, "")
    return [json.loads(json.dumps(row, default=str)) for row in found.items]


async def test_thirty_crashing_pods_of_one_deployment_end_as_one_run(line: Line, cluster: Cluster) -> None:
    # None of them becomes ready, so the old ones stay: more pods than the Deployment is to have.
    alerts = crashing(cluster, "web", count=PODS - 4)
    assert len(alerts) >= PODS
    await line.deliver(webhook(alerts))
    await line.decider.turn()
    begun = await line.bed.store.claim_runs(64)  # all of them at once, as the actor does
    assert len(begun) == len(alerts)
    await asyncio.gather(*(take_turn(line.bed.engine, one) for one in begun))
    await line.work()
    made = await rows(line, "runs")
    [ran] = [one for one in made if one["verdict"] != "joined"]
    assert (ran["state"], ran["target"]) == ("verified", "prod-eu/deployment/shop/web"), ran
    assert len(ran["episodes"]) == len(alerts)  # type: ignore[arg-type] # a list
    assert {(one["state"], one["target"]) for one in made} == {
        ("verified", "prod-eu/deployment/shop/web"),
        ("skipped", "prod-eu/deployment/shop/web"),
    }
    assert len(cluster.ledger.effects()) == 1
    [incident] = await rows(line, "incidents")
    account = await line.bed.store.account(str(incident["id"]))
    assert account is not None
    assert [one.id for one in account.runs] == [ran["id"]]
    assert account.beyond.runs == 0
    decided = await rows(line, "decisions")
    assert {one["target"] for one in decided if one["run"]} == {"prod-eu/deployment/shop/web"}
    assert await line.bed.store.known_targets("cluster", "prod-eu") == 1


async def test_a_run_that_comes_later_joins_the_one_that_is_under_way(line: Line, cluster: Cluster) -> None:
    first, *others = crashing(cluster, "web")
    await line.deliver(webhook([first]))
    await line.decider.turn()
    [run] = await line.bed.store.claim_runs(1)
    await take_turn(line.bed.engine, run)
    await line.deliver(webhook(others))
    await line.work()
    made = await rows(line, "runs")
    assert sorted(str(one["verdict"]) for one in made) == [*["joined"] * len(others), "verified"]
    assert len(cluster.ledger.effects()) == 1


@pytest.mark.parametrize(
    ("app", "verdict", "why"),
    [
        ("db", "no_owner", "It belongs to statefulset db."),
        ("precious", "protected", "It is prod-eu/deployment/shop/precious."),
        ("gone", "owner_unknown", "There is no pod shop/gone-0 any more."),
    ],
)
async def test_a_pod_without_such_a_target_changes_nothing(
    line: Line, cluster: Cluster, app: str, verdict: str, why: str
) -> None:
    if app == "gone":
        alerts: list[Alert] = [alert(alertname="PodCrashing", namespace="shop", pod="gone-0")]
    else:
        alerts = crashing(cluster, app, "StatefulSet" if app == "db" else "Deployment", count=1)[:1]
    await line.deliver(webhook(alerts))
    await line.work(turns=40)
    [run] = await rows(line, "runs")
    assert (run["state"], run["verdict"]) == ("skipped", verdict)
    assert why in str(run["reason"])
    assert cluster.ledger.effects() == []
    told = {one["verdict"] for one in await rows(line, "decisions")}
    assert ("told" in told) == (verdict != "owner_unknown"), "what may be found out later waits, the rest passes on"


async def test_a_target_is_what_its_autoscaler_scales(line: Line, cluster: Cluster) -> None:
    cluster.apply(SCALED)
    await line.deliver(
        webhook([alert(alertname="AtTheCeiling", namespace="shop", horizontalpodautoscaler="web-scaler")])
    )
    await line.work()
    [run] = await rows(line, "runs")
    assert (run["state"], run["target"]) == ("verified", "prod-eu/deployment/shop/web")
    assert cluster.get("HorizontalPodAutoscaler", "shop", "web-scaler")["spec"]["maxReplicas"] == 9
