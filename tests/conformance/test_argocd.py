"""Argo CD's applications: back to an earlier revision with the automated sync paused, and forward again."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from responder.app import catalogue
from responder.clients.toolbox import ClusterSpec, Toolbox
from responder.domain.errors import Drifted, Permanent, Reconciled, Temporary
from responder.ports.action import Action
from tests.bed.kube.cluster import Cluster
from tests.conformance.action_bed import applied, intended
from tests.conformance.bed_kubernetes import APPLICATION, application

AT = ("Application", "argocd", "shop")
ACTIONS = catalogue().actions


def make(name: str, **arguments: Any) -> Action:  # noqa: ANN401 - whatever an action takes
    return ACTIONS[f"argocd.{name}"].model_validate(arguments)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Give a cluster whose application has followed three revisions by itself; the last one is tuned otherwise."""
    async with Cluster(nodes=0, automatic=False) as one:
        for number in (1, 2, 3):
            manifest = application(f"v{number}")
            manifest["spec"]["source"]["helm"] = {"parameters": [{"name": "key", "value": f"planted-{number}"}]}
            one.apply(manifest)
            one.settled()
        yield one


@pytest.fixture
async def tools(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Toolbox]:
    box = Toolbox({}, {}, clusters={"eu": ClusterSpec(cluster.kubeconfig(tmp_path / "kubeconfig"))})
    yield box
    await box.close()


def deployed(cluster: Cluster) -> str:
    return str(cluster.get(*AT)["status"]["sync"]["revision"])


def automated(cluster: Cluster) -> Any:  # noqa: ANN401 - JSON
    return cluster.get(*AT)["spec"]["syncPolicy"].get("automated")


async def test_an_earlier_revision_stays_and_undo_lets_it_follow_again(cluster: Cluster, tools: Toolbox) -> None:
    action = make("rollback")
    record = await applied(action, tools, APPLICATION)
    assert "planted" not in repr(record)
    cluster.settled()
    assert (deployed(cluster), automated(cluster)) == ("v2", None)
    last = cluster.get(*AT)["status"]["history"][-1]
    assert last["source"]["helm"]["parameters"] == [{"name": "key", "value": "planted-2"}]
    assert not await action.drifted(APPLICATION, record, tools)
    await action.undo(APPLICATION, record, tools)
    cluster.settled()
    assert (deployed(cluster), automated(cluster)) == ("v3", {"selfHeal": True})


async def test_undo_waits_for_the_sync_that_it_takes_back(cluster: Cluster, tools: Toolbox) -> None:
    action = make("rollback", to=1)
    record = await applied(action, tools, APPLICATION)
    with pytest.raises(Temporary, match="a sync is under way"):
        await action.undo(APPLICATION, record, tools)
    for name in ("rollback", "sync"):
        with pytest.raises(Temporary, match="a sync is under way"):
            await make(name).snapshot(APPLICATION, tools)
    cluster.settled()
    assert deployed(cluster) == "v1"
    await action.undo(APPLICATION, record, tools)
    assert len(cluster.ledger.effects()) == 2


async def test_a_sync_of_somebody_else_since_then_stands(cluster: Cluster, tools: Toolbox) -> None:
    action = make("rollback")
    record = await applied(action, tools, APPLICATION)
    cluster.settled()
    cluster.patch(*AT, {"operation": {"sync": {"revision": "v1"}}})
    cluster.settled()
    assert await action.drifted(APPLICATION, record, tools)
    with pytest.raises(Drifted):
        await action.undo(APPLICATION, record, tools)
    assert deployed(cluster) == "v1"


async def test_what_was_never_deployed_is_not_gone_back_to(cluster: Cluster, tools: Toolbox) -> None:
    with pytest.raises(ValueError, match="its history has no number 9"):
        await intended(make("rollback", to=9), tools, APPLICATION)
    cluster.patch(*AT, {"status": {"history": None}})
    with pytest.raises(ValueError, match="its history has no other revision"):
        await intended(make("rollback"), tools, APPLICATION)


async def test_several_sources_are_not_guessed_at(cluster: Cluster, tools: Toolbox) -> None:
    cluster.patch(*AT, {"spec": {"sources": [{"repoURL": "https://git.example.com/a"}]}})
    with pytest.raises(Permanent, match="several sources"):
        await make("rollback").snapshot(APPLICATION, tools)


async def test_what_an_applicationset_makes_is_refused(cluster: Cluster, tools: Toolbox) -> None:
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "all", "uid": "1"}
    cluster.patch(*AT, {"metadata": {"ownerReferences": [owner]}})
    with pytest.raises(Reconciled, match="the ApplicationSet all makes it"):
        await make("rollback").snapshot(APPLICATION, tools)
    await applied(make("sync"), tools, APPLICATION)
