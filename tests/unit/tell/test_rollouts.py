"""What others have rolled out lately stands in the message, with what has changed and why they say they did it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from responder.clients.toolbox import ClusterSpec, Toolbox
from responder.domain.errors import StepError
from responder.domain.findings import Finding
from responder.domain.records import RecordState
from responder.domain.runs import RunState
from responder.tell.enrich import Scene
from responder.tell.rollouts import rollouts
from tests.bed.kube.cluster import Cluster
from tests.conformance.bed_kubernetes import workload
from tests.unit.tell.stories import account, episode, incident, record, run

LABELS = {"alertname": "Slow", "namespace": "shop", "deployment": "web"}
TARGET = "eu/deployment/shop/web"
LISTED = "/apis/apps/v1/namespaces/shop/replicasets"


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(nodes=1, automatic=False) as one:
        one.apply(workload("Deployment", "web", "shop:1"))
        one.settled()
        one.advance(10_000)
        manifest = workload("Deployment", "web", "shop:2")
        manifest["metadata"]["annotations"] = {"kubernetes.io/change-cause": "release 2 by ana"}
        one.apply(manifest)
        one.settled()
        yield one


@pytest.fixture
async def tools(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Toolbox]:
    box = Toolbox({}, {}, clusters={"eu": ClusterSpec(cluster.kubeconfig(tmp_path / "kubeconfig"))})
    yield box
    await box.close()


async def made(tools: Toolbox) -> datetime:
    """Return when the latest revision was made, by the cluster's own clock."""
    found = await tools.cluster("eu").list(LISTED)
    stamps = [one["metadata"]["creationTimestamp"] for one in found]  # type: ignore[call-overload,index] # a mapping
    return max(datetime.fromisoformat(str(one)).astimezone(UTC) for one in stamps)


def scene(opened: datetime, **more: object) -> Scene:
    about = account(episodes=(episode(labels=LABELS),), incident=incident(opened_at=opened), **more)
    return Scene(about, None, opened + timedelta(minutes=1))


def texts(found: Sequence[Finding]) -> list[str]:
    return [one.text for one in found]


async def test_a_rollout_before_it_began_is_told_with_what_has_changed(cluster: Cluster, tools: Toolbox) -> None:
    at = await made(tools)
    (found,) = await rollouts(tools, scene(at + timedelta(minutes=9)))
    assert found.name == f"changed:rollout:{TARGET}:2"
    assert found.text == (
        f"{at:%H:%M} UTC rollout of deployment shop/web, revision 1 → 2: spec.containers[c].image: shop:1 → shop:2 "
        "(“release 2 by ana”)"
    )
    assert await rollouts(tools, scene(at + timedelta(hours=3))) == []


async def test_the_targets_of_runs_come_before_labels_and_each_once(cluster: Cluster, tools: Toolbox) -> None:
    at = await made(tools)
    about = scene(at, runs=(run(RunState.VERIFYING, target=TARGET),))
    assert len(await rollouts(tools, about)) == 1
    elsewhere = scene(at, runs=(run(RunState.VERIFYING, target="http/checkout"),))
    assert len(await rollouts(tools, elsewhere)) == 1
    nowhere = replace(about.account, runs=(), episodes=(episode(labels={"alertname": "Slow", "namespace": "../x"}),))
    assert await rollouts(tools, replace(about, account=nowhere)) == []


async def test_what_we_have_brought_about_is_told_already(cluster: Cluster, tools: Toolbox) -> None:
    at = await made(tools)
    ours = record(RecordState.APPLIED, target=TARGET, created_at=at - timedelta(seconds=1))
    about = scene(at, runs=(run(RunState.VERIFYING, target=TARGET),), records=(ours,))
    assert await rollouts(tools, about) == []


async def test_without_the_right_to_look_nothing_is_said(cluster: Cluster, tools: Toolbox) -> None:
    at = await made(tools)
    with pytest.raises(StepError):
        await rollouts(Toolbox({}, {}), scene(at, runs=(run(RunState.VERIFYING, target=TARGET),)))
    assert texts(await rollouts(Toolbox({}, {}), scene(at))) == []
