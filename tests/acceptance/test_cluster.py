"""A cluster in trouble, with a real Prometheus and Alertmanager, from the metric to the message; three stories at once.

A release crash-loops and is taken back, a scale-out does not help and is taken back, a node that comes and goes is
cordoned for a while.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.alerting_files import alertmanager_config
from tests.bed.kube import Behaviour, Cluster
from tests.bed.kube.exporter import Exporter, exporter
from tests.bed.servers import Alertmanager, Prometheus
from tests.bed.slack_peer import SlackPeer
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.conformance.bed_kubernetes import workload
from tests.process_bed import WEBHOOK_TOKEN, Responder, config, responder

PATIENCE = timedelta(seconds=60)
JOB = "cluster-in-trouble"
CRASHING = """\
schema: 1
name: undo-the-release
summary: Go back to the revision before while pods of the new one crash.
mode: auto
matchers:
  - alertname="PodCrashLooping"
target: deployment/{{ labels.namespace }}/{{ owner.deployment }}
limits:
  mass_failure: off
steps:
  - id: back
    kubernetes.rollout_undo: {}
verify:
  - name: rolled out
    probe: kubernetes.rollout
    with:
      of: deployment/{{ labels.namespace }}/{{ owner.deployment }}
    equals: true
    within: 20s
"""
BUSY = """\
schema: 1
name: scale-out
summary: Add replicas while the processors are busy; keep them only if errors fall.
mode: auto
matchers:
  - alertname="DeploymentBusy"
target: deployment/{{ labels.namespace }}/{{ labels.deployment }}
limits:
  attempts: 1
steps:
  - id: out
    kubernetes.scale:
      by: 2
      max: 10
verify:
  - name: errors
    query: error_ratio{deployment="{{ labels.deployment }}"}
    below: 1%
    within: 2s
"""
FLAPPING = """\
schema: 1
name: rest-the-node
summary: Let nothing new onto a node that comes and goes, for a while.
mode: auto
matchers:
  - alertname="NodeFlapping"
target: node/{{ labels.node }}
steps:
  - id: cordon
    kubernetes.cordon: {}
verify:
  - name: ready
    query: kube_node_status_condition{node="{{ labels.node }}",condition="Ready",status="true"}
    equals: 1
    within: 10s
revert_after: 1s
"""
RULES = [
    {"alert": "PodCrashLooping", "expr": 'kube_pod_container_status_waiting_reason{reason="CrashLoopBackOff"} == 1'},
    {"alert": "DeploymentBusy", "expr": "cpu_ratio > 0.9"},
    {
        "alert": "NodeFlapping",
        "expr": 'changes(kube_node_status_condition{condition="Ready",status="true"}[1m]) >= 2',
    },
]
KEPT = ("verified", "rolled_back")


def settings(prometheus: Prometheus, slack: SlackPeer, kubeconfig: Path) -> JsonObject:
    return config(
        "sqlite:///responder.db",
        "http://127.0.0.1:1",
        prometheus={"default": {"url": prometheus.url}},
        kubernetes={"clusters": {"eu": {"kubeconfig": str(kubeconfig), "prometheus": "default"}}},
        notify={"slack": {"token": slack.token, "signing_secret": "s", "api_url": slack.api_url}, "console": True},
        routes=[{"slack": "#oncall"}],
    )


async def ended(running: Responder, playbook: str) -> JsonObject:
    """Return the run of a playbook that came to its end and was its own."""

    async def look() -> JsonObject | None:
        rows = await asyncio.to_thread(running.items, "runs")
        return next((row for row in rows if row["playbook"] == playbook and row["state"] in KEPT), None)

    found = await eventually(look, PATIENCE)
    assert found is not None
    return found


async def scraped(metrics: Exporter) -> None:
    """Wait until what is so now has been scraped."""
    begun = metrics.scrapes
    await eventually(lambda: metrics.scrapes > begun + 1, PATIENCE)


def says(slack: SlackPeer, words: str) -> bool:
    return any(words in f"{one.text} {one.blocks}" for one in slack.in_channel("oncall"))


async def a_release_that_crashes(cluster: Cluster, running: Responder, told: Callable[[str], bool]) -> None:
    cluster.images["shop:bad"] = Behaviour.crashes()
    cluster.apply(workload("Deployment", "api", "shop:bad"))
    run = await ended(running, "undo-the-release")
    assert (run["state"], run["target"]) == ("verified", "eu/deployment/shop/api")
    assert {one["spec"]["containers"][0]["image"] for one in cluster.pods("shop", "api")} == {"shop:1"}
    assert len(cluster.ledger.effects("deployments.apps", "api")) == 1
    await eventually(lambda: told("undo-the-release"), PATIENCE)


async def a_scale_out_that_does_not_help(cluster: Cluster, running: Responder) -> None:
    await cluster.until(lambda: cluster.get("Deployment", "shop", "web")["spec"]["replicas"] == 4, PATIENCE)
    cluster.patch("Deployment", "shop", "web", {"spec": {"minReadySeconds": 3}})
    run = await ended(running, "scale-out")
    assert (run["state"], run["verdict"]) == ("rolled_back", "verify_failed"), run["reason"]
    found = cluster.get("Deployment", "shop", "web")["spec"]
    assert (found["replicas"], found["minReadySeconds"]) == (2, 3), "exactly as before, and the edit survives"
    counts = [one.after["spec"]["replicas"] for one in cluster.ledger.effects("deployments.apps", "web") if one.after]
    assert counts == [4, 2]


async def a_node_that_comes_and_goes(cluster: Cluster, running: Responder) -> None:
    run = await ended(running, "rest-the-node")
    assert (run["state"], run["target"]) == ("verified", "eu/node/node-1"), run["reason"]
    assert not cluster.get("Node", "", "node-1")["spec"].get("unschedulable")
    changes = [bool((one.after or {})["spec"].get("unschedulable")) for one in cluster.ledger.effects("nodes")]
    assert changes == [True, False]


@pytest.mark.promise(16)
@pytest.mark.timeout(200)
async def test_a_cluster_in_trouble(
    alertmanager: Alertmanager, prometheus: Prometheus, slack: SlackPeer, tmp_path: Path
) -> None:
    playbooks = {"crashing.yaml": CRASHING, "busy.yaml": BUSY, "flapping.yaml": FLAPPING}
    async with Cluster(nodes=2) as cluster, exporter(cluster) as metrics:
        for name in ("api", "web"):
            cluster.apply(workload("Deployment", name, "shop:1"))
        cluster.settled()
        metrics.set("error_ratio", 0.2, deployment="web")
        path = cluster.kubeconfig(tmp_path / "kubeconfig")
        with responder(playbooks, settings(prometheus, slack, path)) as running:
            prometheus.configure({JOB: metrics.url}, RULES)
            await asyncio.to_thread(running.start)
            alertmanager.configure(alertmanager_config(f"{running.url}/webhook/alertmanager", WEBHOOK_TOKEN))
            await scraped(metrics)
            cluster.kill_node("node-1")
            cluster.advance(45)
            await scraped(metrics)
            cluster.revive_node("node-1")
            metrics.set("cpu_ratio", 0.97, namespace="shop", deployment="web")
            async with asyncio.TaskGroup() as stories:
                stories.create_task(a_release_that_crashes(cluster, running, lambda name: says(slack, name)))
                stories.create_task(a_scale_out_that_does_not_help(cluster, running))
                stories.create_task(a_node_that_comes_and_goes(cluster, running))
