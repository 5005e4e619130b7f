"""A node is drained as the documentation has it: cordoned, then each pod in turn, within its disruption budget."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from responder.clients.toolbox import ClusterSpec, Toolbox
from responder.domain.runs import Run, RunState
from tests.act_bed import Bed, open_bed
from tests.bed.kube.cluster import Cluster
from tests.bed.stores import embedded
from tests.conformance.bed_kubernetes import workload

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "connect-a-cluster.md"
NODE = "node-1"


def documented() -> str:
    """Return the playbook of the page, for the one node of the test, without a person's yes."""
    [found] = [one for one in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL) if "drain-a-" in one]
    quick = str(found).replace("mode: approve", "mode: auto").replace("for: 5s", "for: 100ms")
    return quick.replace("{{ labels.node }}", NODE)


def budget(least: int) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": "web"}}},
    }


def static() -> dict[str, Any]:
    metadata = {"name": "proxy", "namespace": "shop", "annotations": {"kubernetes.io/config.mirror": "x"}}
    spec = {"nodeName": NODE, "containers": [{"name": "c", "image": "proxy:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Give two nodes; every pod of ``web`` is on the first one, with one of a DaemonSet and a static one."""
    async with Cluster(nodes=1) as one:
        one.apply([workload("Deployment", "web", "shop:1"), workload("DaemonSet", "agent", "agent:1"), static()])
        one.settled()
        one.add_node("node-2")
        one.settled()
        yield one


@pytest.fixture
async def bed(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Bed]:
    opened = await open_bed(embedded(tmp_path / "responder.db"), "http://127.0.0.1:1")
    tools = Toolbox({}, {}, clusters={"eu": ClusterSpec(cluster.kubeconfig(tmp_path / "kubeconfig"))})
    yield replace(opened, engine=replace(opened.engine, tools=tools), tools=tools)
    await tools.close()
    await opened.store.close()


def on_the_node(cluster: Cluster) -> set[str]:
    """Return which applications have a pod there, by the first word of their names."""
    return {
        pod["metadata"]["name"].partition("-")[0] for pod in cluster.pods("shop") if pod["spec"].get("nodeName") == NODE
    }


def cordoned(cluster: Cluster) -> bool:
    return bool(cluster.get("Node", "", NODE)["spec"].get("unschedulable"))


async def test_each_pod_goes_in_its_turn_and_the_others_stay(bed: Bed, cluster: Cluster) -> None:
    cluster.apply(budget(1))
    cluster.settled()
    run = await bed.work(await bed.begin(documented(), target=f"eu/node/{NODE}"), turns=2000)
    assert run.state is RunState.VERIFIED, run.reason
    assert on_the_node(cluster) == {"agent", "proxy"}
    assert cordoned(cluster)
    assert [entry.resource for entry in cluster.ledger.effects()] == ["nodes", "pods/eviction", "pods/eviction"]
    assert len({entry.name for entry in cluster.ledger.effects("pods/eviction")}) == 2


async def test_a_budget_that_lets_nothing_go_is_known_before_the_node_is_cordoned(bed: Bed, cluster: Cluster) -> None:
    cluster.apply(budget(2))
    cluster.settled()
    hasty = documented().replace("retries: 8", "retries: 1")
    run = await bed.work(await bed.begin(hasty, target=f"eu/node/{NODE}"), turns=2000)
    assert run.state is RunState.SKIPPED
    assert "The disruption budget web needs 2 healthy pods" in run.reason
    assert cluster.ledger.effects() == []


async def test_without_room_elsewhere_the_second_pod_stays_and_the_node_is_uncordoned(
    bed: Bed, cluster: Cluster
) -> None:
    cluster.patch("Node", "", "node-2", {"spec": {"unschedulable": True}})
    hasty = documented().replace("within: 2m", "within: 300ms")
    run = await bed.work(await bed.begin(hasty, target=f"eu/node/{NODE}"), turns=2000)
    assert run.state is RunState.PARTLY_ROLLED_BACK, run.reason
    assert [entry.resource for entry in cluster.ledger.effects()] == ["nodes", "pods/eviction", "nodes"]
    assert not cordoned(cluster)
    await cluster.until(lambda: all(pod["spec"].get("nodeName") for pod in cluster.pods("shop", "web")))
    assert len(cluster.pods("shop", "web")) == 2


async def test_a_person_s_rollback_uncordons_the_node_and_says_what_cannot_be_taken_back(
    bed: Bed, cluster: Cluster
) -> None:
    run = await bed.work(await bed.begin(documented(), target=f"eu/node/{NODE}"), turns=2000)
    assert run.state is RunState.VERIFIED, run.reason
    made = await bed.store.roll_back(run.id, "ana", "the wrong node")
    assert isinstance(made, Run)
    ended = await bed.work(made)
    assert ended.state is RunState.PARTLY_ROLLED_BACK, ended.reason
    assert not cordoned(cluster)
    async with bed.store.slice() as tx:
        assert not await tx.quarantined([made.target]), "nothing is in doubt"
