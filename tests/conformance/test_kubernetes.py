"""What the actions on Kubernetes objects refuse, and what they say: others who keep a field, budgets, rights."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from responder.act.gate import Gated
from responder.app import catalogue
from responder.clients.toolbox import ClusterSpec, Toolbox
from responder.domain.errors import Drifted, Moved, Permanent, Reconciled, Temporary
from responder.ports.action import Action, Landed
from responder.ports.tools import ReconcilerPolicy
from tests.bed.kube.cluster import Cluster
from tests.bed.kube.images import Behaviour
from tests.conformance import bed_kubernetes
from tests.conformance.action_bed import applied, intended, landed
from tests.conformance.bed_kubernetes import workload

WEB = "eu/deployment/shop/web"
ACTIONS = catalogue().actions


def make(name: str, **arguments: Any) -> Action:  # noqa: ANN401 - whatever an action takes
    return ACTIONS[f"kubernetes.{name}"].model_validate(arguments)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(nodes=1, automatic=False) as one:
        one.apply(workload("Deployment", "web", "shop:1"))
        one.settled()
        yield one


@pytest.fixture
async def tools(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Toolbox]:
    box = toolbox(cluster, tmp_path)
    yield box
    await box.close()


def toolbox(cluster: Cluster, folder: Path, policy: ReconcilerPolicy = "refuse", token: str = "") -> Toolbox:
    path = cluster.kubeconfig(folder / f"kubeconfig-{policy}-{len(token)}", token)
    return Toolbox({}, {}, clusters={"eu": ClusterSpec(path, reconcilers=policy)})


# --- who else keeps it ----------------------------------------------------------------------------------------------

HPA = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "of-web", "namespace": "shop"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 2,
        "maxReplicas": 5,
    },
}


async def test_an_autoscaler_keeps_the_number_of_replicas(cluster: Cluster, tools: Toolbox, tmp_path: Path) -> None:
    cluster.apply(HPA)
    with pytest.raises(Reconciled, match=r"the autoscaler of-web keeps the number of replicas; use kubernetes\.hpa"):
        await make("scale", to=4).snapshot(WEB, tools)
    warned = toolbox(cluster, tmp_path, "warn")
    assert "the autoscaler of-web" in (await make("scale", to=4).snapshot(WEB, warned)).note
    allowed = toolbox(cluster, tmp_path, "allow")
    assert (await make("scale", to=4).snapshot(WEB, allowed)).note == ""
    await warned.close()
    await allowed.close()
    # It has no say in anything else.
    assert (await make("rollout_restart").snapshot(WEB, tools)).note == ""
    assert cluster.ledger.effects() == []


def application(**policy: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "shop", "namespace": "argocd"},
        "spec": {"syncPolicy": policy},
    }


@pytest.mark.parametrize(
    ("policy", "heals"),
    [({"automated": {"selfHeal": True}}, True), ({"automated": {}}, False), ({}, False)],
)
async def test_argo_cd_is_asked_whether_it_heals(
    cluster: Cluster, tools: Toolbox, policy: dict[str, Any], *, heals: bool
) -> None:
    cluster.apply(application(**policy))
    tracking = "shop:apps/Deployment:shop/web"
    cluster.patch(
        "Deployment", "shop", "web", {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": tracking}}}
    )
    if heals:
        with pytest.raises(Reconciled, match=r"Argo CD \(application shop\) heals"):
            await make("scale", to=4).snapshot(WEB, tools)
    else:
        assert "Argo CD (application shop) applies it" in (await make("scale", to=4).snapshot(WEB, tools)).note
    # An annotation that is not in its repository is left alone by it.
    assert "Argo" not in (await make("annotate", annotations={"a/b": "c"}).snapshot(WEB, tools)).note


async def test_argo_cd_that_cannot_be_asked_heals_as_far_as_we_know(cluster: Cluster, tools: Toolbox) -> None:
    annotations = {"argocd.argoproj.io/tracking-id": "gone:apps/Deployment:shop/web"}
    cluster.patch("Deployment", "shop", "web", {"metadata": {"annotations": annotations}})
    with pytest.raises(Reconciled, match="cannot be asked"):
        await make("scale", to=4).snapshot(WEB, tools)


async def test_helm_s_label_alone_is_not_argo_cd(cluster: Cluster, tools: Toolbox) -> None:
    cluster.patch("Deployment", "shop", "web", {"metadata": {"labels": {"app.kubernetes.io/instance": "web"}}})
    assert "Argo" not in (await make("scale", to=4).snapshot(WEB, tools)).note


@pytest.mark.parametrize(("suspend", "heals"), [(False, True), (True, False)])
async def test_flux_heals_unless_it_is_suspended(
    cluster: Cluster, tools: Toolbox, *, suspend: bool, heals: bool
) -> None:
    cluster.apply(
        {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": "apps", "namespace": "flux-system"},
            "spec": {"suspend": suspend},
        }
    )
    labels = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
    cluster.patch("Deployment", "shop", "web", {"metadata": {"labels": labels}})
    if heals:
        with pytest.raises(Reconciled, match=r"Flux \(Kustomization apps\) heals"):
            await make("rollout_pause").snapshot(WEB, tools)
    else:
        assert "is suspended" in (await make("rollout_pause").snapshot(WEB, tools)).note


async def test_whose_hand_set_it_last_is_said(cluster: Cluster, tools: Toolbox) -> None:
    cluster.patch("Deployment", "shop", "web", {"spec": {"replicas": 3}}, manager="kubectl-scale")
    assert "spec.replicas was last set by kubectl-scale" in (await make("scale", to=4).snapshot(WEB, tools)).note


# --- what the server would refuse is known before anybody is asked ---------------------------------------------------


async def test_a_right_that_is_missing_is_known_at_planning(cluster: Cluster, tmp_path: Path) -> None:
    reading = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]
    cluster.allow("reader", reading)
    tools = toolbox(cluster, tmp_path, token=cluster.token("reader"))
    with pytest.raises(Permanent, match='cannot patch resource "deployments"'):
        await make("scale", to=4).snapshot(WEB, tools)
    await tools.close()


async def test_a_disruption_budget_is_respected_and_waited_for(cluster: Cluster, tools: Toolbox) -> None:
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    }
    cluster.apply(budget)
    cluster.settled()
    target = f"eu/pod/shop/{cluster.pods('shop', 'web')[0]['metadata']['name']}"
    with pytest.raises(Temporary, match="The disruption budget web needs 2 healthy pods"):
        await make("evict_pod").snapshot(target, tools)
    cluster.patch("PodDisruptionBudget", "shop", "web", {"spec": {"minAvailable": 1}})
    cluster.settled()
    await applied(make("evict_pod"), tools, target)
    assert len(cluster.ledger.effects("pods")) == 1


async def test_a_pod_that_nothing_makes_anew_stays(cluster: Cluster, tools: Toolbox) -> None:
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "alone", "namespace": "shop"},
            "spec": {"containers": [{"name": "c", "image": "shop:1"}]},
        }
    )
    with pytest.raises(ValueError, match="no controller would make the pod anew"):
        await intended(make("delete_pod"), tools, "eu/pod/shop/alone")
    await applied(make("delete_pod", alone=True), tools, "eu/pod/shop/alone")


async def test_a_pod_of_somebody_else_is_not_sent_away(cluster: Cluster, tools: Toolbox) -> None:
    cluster.apply(workload("Deployment", "other", "shop:1"))
    cluster.settled()
    other = cluster.pods("shop", "other")[0]["metadata"]["name"]
    for target, pod in ((WEB, other), ("eu/node/node-9", f"shop/{other}")):
        with pytest.raises(Permanent, match="does not belong to"):
            await make("evict_pod", pod=pod).snapshot(target, tools)
    for target, pod in ((WEB, f"kube-system/{other}"), (WEB, "../x"), (WEB, ""), (f"eu/pod/shop/{other}", "a")):
        with pytest.raises(Permanent, match="pod"):
            await make("evict_pod", pod=pod).snapshot(target, tools)
    await applied(make("evict_pod", pod=f"shop/{other}"), tools, "eu/node/node-1")
    assert [entry.name for entry in cluster.ledger.effects()] == [other]


# --- versions and markers -------------------------------------------------------------------------------------------


async def test_a_send_that_the_status_overtook_never_lands_and_is_known_not_to(
    cluster: Cluster, tools: Toolbox
) -> None:
    action = make("scale", to=4)
    record = await intended(action, tools, WEB)
    cluster.set_status("Deployment", "shop", "web", {"observedGeneration": 77})
    with pytest.raises(Moved):
        await action.apply(WEB, record, tools)
    assert await landed(action, record, "do", tools) is Landed.NEVER
    assert cluster.ledger.effects() == []


async def test_a_marker_under_other_values_is_left_to_a_person(cluster: Cluster, tools: Toolbox) -> None:
    action = make("scale", to=4)
    record = await applied(action, tools, WEB)
    cluster.patch("Deployment", "shop", "web", {"spec": {"replicas": 9}})
    assert await landed(action, record, "do", tools) is Landed.UNKNOWN


async def test_an_object_of_the_same_name_is_not_the_same(cluster: Cluster, tools: Toolbox) -> None:
    action = make("scale", to=4)
    record = await applied(action, tools, WEB)
    cluster.delete("Deployment", "shop", "web")
    cluster.apply(workload("Deployment", "web", "shop:1", replicas=4))
    assert await action.drifted(WEB, record, tools)
    assert await landed(action, replace(record, observed=None), "do", tools) is Landed.UNKNOWN


async def test_what_somebody_put_back_already_needs_no_undo(cluster: Cluster, tools: Toolbox) -> None:
    action = make("rollout_pause")
    record = await applied(action, tools, WEB)
    cluster.patch("Deployment", "shop", "web", {"spec": {"paused": False}})
    await action.undo(WEB, record, tools)
    assert len(cluster.ledger.effects()) == 1


# --- rollouts -------------------------------------------------------------------------------------------------------


async def test_a_rollout_goes_back_to_exactly_the_template_that_there_was(cluster: Cluster, tools: Toolbox) -> None:
    first = cluster.get("Deployment", "shop", "web")["spec"]["template"]
    changed = workload("Deployment", "web", "shop:2")
    changed["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "planted-secret"}]
    changed["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 5
    cluster.apply(changed)
    cluster.settled()
    second = cluster.get("Deployment", "shop", "web")["spec"]["template"]
    action = make("rollout_undo")
    record = await applied(action, tools, WEB)
    assert "planted-secret" not in repr(record)
    assert cluster.get("Deployment", "shop", "web")["spec"]["template"] == first
    cluster.settled()
    assert {pod["spec"]["containers"][0]["image"] for pod in cluster.pods("shop", "web")} == {"shop:1"}
    await action.undo(WEB, record, tools)
    assert cluster.get("Deployment", "shop", "web")["spec"]["template"] == second


@pytest.mark.parametrize(("kind", "more"), [("StatefulSet", {"serviceName": "it"}), ("DaemonSet", {})])
async def test_what_keeps_controller_revisions_goes_back_and_forward_too(
    cluster: Cluster, tools: Toolbox, kind: str, more: dict[str, str]
) -> None:
    target = f"eu/{kind.lower()}/shop/it"
    templates = []
    for number in (1, 2, 3):
        manifest = workload(kind, "it", f"it:{number}", **more)
        manifest["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": f"planted-{number}"}]
        cluster.apply(manifest)
        with pytest.raises(Temporary, match="has not made a ControllerRevision"):
            await make("rollout_undo").snapshot(target, tools)
        cluster.settled()
        templates.append(cluster.get(kind, "shop", "it")["spec"]["template"])
    action = make("rollout_undo")
    record = await applied(action, tools, target)
    assert "planted" not in repr(record)
    assert cluster.get(kind, "shop", "it")["spec"]["template"] == templates[1]
    cluster.settled()
    assert {pod["spec"]["containers"][0]["image"] for pod in cluster.pods("shop", "it")} == {"it:2"}
    # Its controller has renumbered the revisions by now: what was the second one is the latest.
    assert not await action.drifted(target, record, tools)
    await action.undo(target, record, tools)
    assert cluster.get(kind, "shop", "it")["spec"]["template"] == templates[2]
    cluster.settled()
    await applied(make("rollout_undo", to_revision=1), tools, target)
    assert cluster.get(kind, "shop", "it")["spec"]["template"] == templates[0]


async def test_a_statefulset_that_is_stuck_goes_on_when_its_pod_is_deleted(cluster: Cluster, tools: Toolbox) -> None:
    cluster.images["db:bad"] = Behaviour.crashes()
    for image in ("db:1", "db:bad"):
        cluster.apply(workload("StatefulSet", "db", image, serviceName="db"))
        cluster.settled()
    await applied(make("rollout_undo"), tools, "eu/statefulset/shop/db")
    cluster.settled()
    assert "db:bad" in {pod["spec"]["containers"][0]["image"] for pod in cluster.pods("shop", "db")}
    await applied(make("delete_pod"), tools, "eu/pod/shop/db-1")
    cluster.advance(60)
    assert {pod["spec"]["containers"][0]["image"] for pod in cluster.pods("shop", "db")} == {"db:1"}


async def test_without_an_earlier_revision_there_is_nothing_to_go_back_to(cluster: Cluster, tools: Toolbox) -> None:
    with pytest.raises(ValueError, match="no earlier revision is kept"):
        await intended(make("rollout_undo"), tools, WEB)
    with pytest.raises(ValueError, match="no revision 7 is kept"):
        await intended(make("rollout_undo", to_revision=7), tools, WEB)


async def test_a_template_that_the_controller_has_not_seen_is_waited_for(cluster: Cluster, tools: Toolbox) -> None:
    cluster.apply(workload("Deployment", "web", "shop:2"))
    with pytest.raises(Temporary, match="has not made a ReplicaSet"):
        await make("rollout_undo").snapshot(WEB, tools)


async def test_a_paused_rollout_is_neither_restarted_nor_undone(cluster: Cluster, tools: Toolbox) -> None:
    cluster.patch("Deployment", "shop", "web", {"spec": {"paused": True}})
    for name in ("rollout_restart", "rollout_undo"):
        with pytest.raises(Permanent, match="paused"):
            await make(name).snapshot(WEB, tools)


async def test_a_restart_replaces_every_pod_once(cluster: Cluster, tools: Toolbox) -> None:
    before = {pod["metadata"]["uid"] for pod in cluster.pods("shop", "web")}
    await applied(make("rollout_restart"), tools, WEB)
    cluster.settled()
    after = {pod["metadata"]["uid"] for pod in cluster.pods("shop", "web")}
    assert len(after) == 2
    assert not before & after


async def test_a_cluster_that_is_not_configured_is_named(tools: Toolbox) -> None:
    with pytest.raises(Permanent, match=r"kubernetes\.clusters has no 'us'; it has eu"):
        await make("scale", to=4).snapshot("us/deployment/shop/web", tools)


# --- between the last look and the first byte ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["scale", "rollout_undo", "taint", "annotate", "hpa"])
async def test_an_edit_after_the_last_look_refuses_the_send(shape: str, tmp_path: Path) -> None:
    one = next(one for one in bed_kubernetes.SHAPES.values() if one.action == f"kubernetes.{shape}")
    async with Cluster(nodes=0, automatic=False) as cluster:
        bed_kubernetes.begin(cluster)
        bed = bed_kubernetes.KubernetesBed(cluster, one, cluster.kubeconfig(tmp_path / "kubeconfig"))
        late = Gated(bed.tools, bed.edit_owned)  # awaited when the connection stands, before anything is sent
        action = one.make()
        record = await intended(action, bed.tools, one.target)
        with pytest.raises(Moved):
            await action.apply(one.target, record, late)
        assert cluster.ledger.effects() == []
        bed_kubernetes.begin(cluster)
        record = await applied(action, bed.tools, one.target)
        with pytest.raises(Drifted):  # it looks again, and sees whose edit it is
            await action.undo(one.target, record, late)
        assert len(cluster.ledger.effects()) == 1
        await bed.tools.close()
        await bed.hasty.close()


# --- an object that others write into -------------------------------------------------------------------------------


class Busy:
    """A gate in which a controller writes into the object before each of the first ``times`` sends."""

    def __init__(self, cluster: Cluster, times: int) -> None:
        self.cluster, self.times, self.sends = cluster, times, 0

    async def __call__(self) -> None:
        self.sends += 1
        if self.sends <= self.times:
            seen = {"metadata": {"annotations": {"seen": str(self.sends)}}}
            self.cluster.patch("Deployment", "shop", "web", seen)


def memory(cluster: Cluster) -> object:
    [container] = cluster.get("Deployment", "shop", "web")["spec"]["template"]["spec"]["containers"]
    return container.get("resources", {}).get("limits", {}).get("memory")


@pytest.mark.promise(16)
@pytest.mark.parametrize(("races", "sends"), [(3, 4), (99, 5)])
async def test_an_undo_is_sent_again_when_others_write_beside_it_but_not_for_ever(
    cluster: Cluster, tools: Toolbox, races: int, sends: int
) -> None:
    action = make("set_resources", container="c", limits={"memory": "1Gi"})
    record = await applied(action, tools, WEB)
    busy = Busy(cluster, races)
    undoing = action.undo(WEB, record, Gated(tools, busy))
    if races < sends:
        await undoing
        assert memory(cluster) == "512Mi"
        assert cluster.get("Deployment", "shop", "web")["metadata"]["annotations"]["seen"] == str(races)
    else:
        with pytest.raises(Moved):
            await undoing
        assert memory(cluster) == "1Gi"
    assert busy.sends == sends
