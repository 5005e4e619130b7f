"""A run on a cluster from the first look to the end: kept when it helped, taken back exactly when it did not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from pydantic import JsonValue

from responder.act.actor import take_turn
from responder.clients.toolbox import ClusterSpec, Toolbox
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.ports.store import RunStore
from tests.act_bed import Bed, needs_person, open_bed
from tests.bed.kube.cluster import Cluster
from tests.bed.kube.images import Behaviour
from tests.bed.stores import embedded
from tests.conformance.bed_kubernetes import workload

WEB = "prod-eu/deployment/shop/web"
PLAYBOOK = """\
schema: 1
name: mend-web
summary: Mend it.
mode: auto
matchers:
  - alertname="Overloaded"
target: deployment/shop/web
steps:
  - id: it
    {step}
verify:
  - name: it runs
    probe: kubernetes.{probe}
    within: {within}
"""
ROLLED_OUT = "rollout\n    with: { of: deployment/shop/web }\n    equals: true"
NEVER_SO = "pods\n    with: { of: deployment/shop/web, read: ready }\n    equals: 99"
SCALE_OUT = "kubernetes.scale: { by: 2, max: 10 }"
BIT_BY_BIT = f"{SCALE_OUT}\n    gradual: {{ by: 1, verify: end }}"


def text(step: str, probe: str, within: str = "20s") -> str:
    return PLAYBOOK.format(step=step, probe=probe, within=within)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(nodes=1) as one:
        one.apply(workload("Deployment", "web", "shop:1"))
        one.settled()
        yield one


@pytest.fixture
async def bed(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Bed]:
    opened = await open_bed(embedded(tmp_path / "responder.db"), "http://127.0.0.1:1")
    path = cluster.kubeconfig(tmp_path / "kubeconfig", user="responder")
    rights = [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"]},
        {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list"]},
        {"apiGroups": ["batch"], "resources": ["cronjobs", "jobs"], "verbs": ["get", "list", "create"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["list"]},
    ]
    cluster.allow("responder", rights)
    tools = Toolbox({}, {}, clusters={"prod-eu": ClusterSpec(path)})
    yield replace(opened, engine=replace(opened.engine, tools=tools), tools=tools)
    await tools.close()
    await opened.store.close()


class DeadTurn(BaseException):
    """The process ended here."""


class Dying:
    """A store whose turn ends when it calls ``call``, before or after that was done."""

    def __init__(self, bed: Bed, call: str, *, done: bool) -> None:
        self._bed, self._call, self._done = bed, call, done

    def __getattr__(self, name: str) -> object:
        found = getattr(self._bed.store, name)
        if name != self._call:
            return found

        async def dies(*arguments: object) -> object:
            if self._done:
                await found(*arguments)
            raise DeadTurn

        return dies


async def die(bed: Bed, run: Run, call: str, *, done: bool) -> None:
    engine = replace(bed.engine, store=cast("RunStore", Dying(bed, call, done=done)))
    [claimed] = await bed.store.claim_runs(1)
    assert claimed.id == run.id
    with pytest.raises(DeadTurn):
        await take_turn(engine, claimed)


async def go_on(bed: Bed, run: Run, until: str = "") -> Run:
    """Take turns under the lease that there is: what another replica does when it has run out."""
    for _ in range(400):
        found = await bed.store.run(run.id)
        assert found is not None
        if found.state.final or (until and found.reason == until):
            return found
        await take_turn(bed.engine, found)
    raise AssertionError("it did not come to its end")


def replicas(cluster: Cluster) -> int:
    return int(cluster.get("Deployment", "shop", "web")["spec"]["replicas"])


def images(cluster: Cluster) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in cluster.pods("shop", "web")}


async def test_a_bad_rollout_is_taken_back_and_verified(bed: Bed, cluster: Cluster) -> None:
    cluster.images["shop:bad"] = Behaviour.crashes()
    cluster.apply(workload("Deployment", "web", "shop:bad"))
    await cluster.until(lambda: "shop:bad" in images(cluster))
    run = await bed.work(await bed.begin(text("kubernetes.rollout_undo: {}", ROLLED_OUT), target=WEB), turns=2000)
    assert (run.state, run.verdict) == (RunState.VERIFIED, Verdict.VERIFIED)
    assert images(cluster) == {"shop:1"}
    assert len(cluster.ledger.effects()) == 1
    assert await needs_person(bed, run) == ""


async def test_a_scale_out_that_does_not_help_is_taken_back_and_edits_beside_it_survive(
    bed: Bed, cluster: Cluster
) -> None:
    run = await bed.begin(text(SCALE_OUT, NEVER_SO, within="1s"), target=WEB)
    await bed.work(run, until=frozenset({RunState.VERIFYING}))
    assert replicas(cluster) == 4
    edit = {"spec": {"minReadySeconds": 3, "template": {"metadata": {"labels": {"colour": "red"}}}}}
    cluster.patch("Deployment", "shop", "web", edit)
    run = await bed.work(run, turns=2000)
    assert run.state is RunState.ROLLED_BACK
    found = cluster.get("Deployment", "shop", "web")["spec"]
    assert (found["replicas"], found["minReadySeconds"]) == (2, 3)
    assert found["template"]["metadata"]["labels"]["colour"] == "red"
    assert [entry.after["spec"]["replicas"] for entry in cluster.ledger.effects() if entry.after] == [4, 2]


async def test_somebody_elses_count_stands(bed: Bed, cluster: Cluster) -> None:
    run = await bed.begin(text(SCALE_OUT, NEVER_SO, within="1s"), target=WEB)
    await bed.work(run, until=frozenset({RunState.VERIFYING}))
    cluster.patch("Deployment", "shop", "web", {"spec": {"replicas": 7}})
    run = await bed.work(run, turns=2000)
    assert replicas(cluster) == 7
    assert len(cluster.ledger.effects()) == 1
    assert "Somebody else has changed the target since" in await needs_person(bed, run)


@pytest.mark.promise(4)
async def test_a_change_that_a_dead_turn_left_is_known_by_its_marker(bed: Bed, cluster: Cluster) -> None:
    run = await bed.begin(text(SCALE_OUT, ROLLED_OUT), target=WEB)
    await die(bed, run, "settle", done=False)
    await cluster.until(lambda: len(cluster.pods("shop", "web")) == 4)  # its controller has written into it since
    run = await go_on(bed, run)
    assert run.state is RunState.VERIFIED
    assert replicas(cluster) == 4
    assert len(cluster.ledger.effects()) == 1


@pytest.mark.promise(4)
async def test_a_send_that_a_dead_turn_never_made_is_planned_again_on_a_busy_object(bed: Bed, cluster: Cluster) -> None:
    run = await bed.begin(text(SCALE_OUT, ROLLED_OUT), target=WEB)
    await die(bed, run, "intend", done=True)
    cluster.set_status("Deployment", "shop", "web", {"conditions": []})
    run = await go_on(bed, run)
    assert run.state is RunState.VERIFIED
    assert replicas(cluster) == 4
    assert len(cluster.ledger.effects()) == 1
    assert await needs_person(bed, run) == ""


async def test_an_object_that_changes_under_the_plan_is_planned_again(bed: Bed, cluster: Cluster) -> None:
    class Busy:
        """A store between whose permission and the send the controller writes into the object."""

        left = 2

        def __getattr__(self, name: str) -> object:
            return getattr(bed.store, name)

        async def intend(self, *given: object) -> object:
            if self.left:
                self.left -= 1
                cluster.set_status("Deployment", "shop", "web", {"observedGeneration": 50 + self.left})
            return await bed.store.intend(*given)  # type: ignore[arg-type]  # whatever it takes

    bed.engine = replace(bed.engine, store=cast("RunStore", Busy()))
    run = await bed.work(await bed.begin(text(SCALE_OUT, ROLLED_OUT), target=WEB), turns=2000)
    assert run.state is RunState.VERIFIED
    assert replicas(cluster) == 4
    assert len(cluster.ledger.effects()) == 1


@pytest.mark.parametrize(
    ("probe", "state", "counts"), [(ROLLED_OUT, "verified", [3, 4]), (NEVER_SO, "rolled_back", [3, 4, 3, 2])]
)
async def test_a_scale_out_is_made_and_taken_back_bit_by_bit(
    bed: Bed, cluster: Cluster, probe: str, state: str, counts: list[int]
) -> None:
    run = await bed.work(await bed.begin(text(BIT_BY_BIT, probe, within="2s"), target=WEB), turns=2000)
    assert run.state == state, run.reason
    seen = [entry.after["spec"]["replicas"] for entry in cluster.ledger.effects() if entry.after is not None]
    assert seen == counts


@pytest.mark.parametrize("step", [SCALE_OUT, BIT_BY_BIT])
async def test_what_an_autoscaler_keeps_is_refused_by_name(bed: Bed, cluster: Cluster, step: str) -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    cluster.apply(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": 5},
        }
    )
    run = await bed.work(await bed.begin(text(step, ROLLED_OUT), target=WEB))
    assert run.verdict is Verdict.RECONCILED
    assert "the autoscaler web keeps the number of replicas" in run.reason
    assert cluster.ledger.effects() == []


@pytest.mark.promise(13)
async def test_a_run_that_only_observes_sends_nothing_that_is_kept(bed: Bed, cluster: Cluster) -> None:
    observed = text(SCALE_OUT, ROLLED_OUT).replace("mode: auto", "mode: observe")
    run = await bed.work(await bed.begin(observed, target=WEB))
    assert run.state is RunState.OBSERVED
    assert run.progress.plan[0].after == {"replicas": 4}
    assert [entry.dry_run for entry in cluster.ledger.entries] == [True]
    assert cluster.ledger.effects() == []


# --- jobs -----------------------------------------------------------------------------------------------------------

NIGHTLY = "prod-eu/cronjob/shop/nightly"
COMPLETE = "job\n    with: { of: cronjob/shop/nightly }\n    equals: true"
WAITS = "step it: waits for its end"
RUN_IT = "kubernetes.run_job: { wait: true }\n    undo: none\n    timeout: TIMEOUT"


def job_text(timeout: str = "20s") -> str:
    return text(RUN_IT.replace("TIMEOUT", timeout), COMPLETE).replace("deployment/shop/web", "cronjob/shop/nightly")


@pytest.fixture
def nightly(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Give a cluster with a CronJob whose jobs do as the image says; what goes on is looked at without much ado."""
    monkeypatch.setattr("responder.act.ends.WHILE", timedelta(seconds=0.05))
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "shop:job"}]}}
    cluster.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "nightly", "namespace": "shop"},
            "spec": {"schedule": "0 3 1 1 *", "jobTemplate": {"spec": {"backoffLimit": 0, "template": template}}},
        }
    )
    return cluster


def jobs(cluster: Cluster) -> list[str]:
    return [str(one["metadata"]["name"]) for one in cluster.every("Job")]


def ends(cluster: Cluster, last_words: str) -> None:
    """Let what runs of the image end well, and the kubelets see it."""
    cluster.images["shop:job"] = Behaviour(exit_after=0.0, last_words=last_words)
    cluster.patch("CronJob", "shop", "nightly", {"metadata": {"labels": {"seen": "yes"}}})


async def observed(bed: Bed, run: Run) -> dict[str, JsonValue]:
    account = await bed.store.account(run.incident_id)
    assert account is not None
    [record] = account.records
    assert isinstance(record.observed, dict)
    return record.observed


async def waiting(bed: Bed, run: Run, cluster: Cluster) -> Run:
    """Work until the job is there and is waited for."""
    for _ in range(400):
        await bed.work(run, until=frozenset({RunState.ACTING}))
        for claimed in await bed.store.claim_runs(1):
            await take_turn(bed.engine, claimed)
        found = await bed.store.run(run.id)
        assert found is not None
        if found.reason == WAITS:
            assert len(jobs(cluster)) == 1
            return found
        await asyncio.sleep(0.01)
    raise AssertionError("it does not wait")


async def test_a_step_waits_for_its_job_and_keeps_what_it_wrote_last(bed: Bed, nightly: Cluster) -> None:
    log = "".join(f"row {number}\n" for number in range(20)) + "url postgres://shop:planted-pass-1@db/shop"
    nightly.images["shop:job"] = Behaviour(log=log)
    run = await waiting(bed, await bed.begin(job_text(), target=NIGHTLY), nightly)
    ends(nightly, "migrated 20 rows")
    run = await bed.work(run, turns=2000)
    assert (run.state, run.verdict) == (RunState.VERIFIED, Verdict.VERIFIED)
    seen = await observed(bed, run)
    assert (seen["ended"], seen["job"]) == ("well", jobs(nightly)[0])
    lines = str(seen["log"]).splitlines()
    assert (len(lines), lines[0], lines[-1]) == (5, "row 17", "migrated 20 rows")
    assert "planted-pass-1" not in str(seen)


async def test_a_job_that_fails_is_a_step_that_failed_with_the_pods_own_words(bed: Bed, nightly: Cluster) -> None:
    nightly.images["shop:job"] = Behaviour(exit_after=0.0, exit_code=3, reason="Error", last_words="no such table")
    run = await bed.work(await bed.begin(job_text(), target=NIGHTLY), turns=2000)
    assert (run.state, run.verdict) == (RunState.PARTLY_ROLLED_BACK, Verdict.STEP_FAILED)
    [job] = jobs(nightly)
    why = await needs_person(bed, run)
    assert f"step it: the Job {job} has failed: Job has reached the specified backoff limit; {job}-" in why
    assert "Error, exit code 3. Its last line: no such table" in why


@pytest.mark.promise(14)
async def test_a_job_that_does_not_end_in_time_is_left_running_and_somebody_hears_of_it(
    bed: Bed, nightly: Cluster
) -> None:
    nightly.images["shop:job"] = Behaviour.healthy()
    run = await bed.work(await bed.begin(job_text("300ms"), target=NIGHTLY), turns=2000)
    assert run.verdict is Verdict.STEP_FAILED
    assert "it has not ended within under 1s; it goes on" in await needs_person(bed, run)
    assert len(jobs(nightly)) == 1


@pytest.mark.promise(4)
async def test_a_job_that_somebody_deletes_meanwhile_is_not_made_again(bed: Bed, nightly: Cluster) -> None:
    nightly.images["shop:job"] = Behaviour.healthy()
    run = await waiting(bed, await bed.begin(job_text(), target=NIGHTLY), nightly)
    nightly.delete("Job", "shop", jobs(nightly)[0])
    run = await bed.work(run, turns=2000)
    assert run.verdict is Verdict.STEP_FAILED
    assert "is gone" in await needs_person(bed, run)
    assert jobs(nightly) == []


@pytest.mark.promise(4)
@pytest.mark.parametrize("done", [False, True])
async def test_turns_that_die_while_a_job_is_waited_for_ask_again_and_make_nothing(
    bed: Bed, nightly: Cluster, *, done: bool
) -> None:
    nightly.images["shop:job"] = Behaviour.healthy()
    run = await bed.begin(job_text(), target=NIGHTLY)
    await die(bed, run, "settle", done=done)
    run = await go_on(bed, run, until=WAITS)
    ends(nightly, "done")
    await nightly.until(lambda: "completionTime" in nightly.every("Job")[0]["status"])
    await asyncio.sleep(0.06)  # until it is due
    await die(bed, run, "settle", done=done)
    run = await go_on(bed, run)
    assert run.state is RunState.VERIFIED
    assert str((await observed(bed, run))["log"]).splitlines()[-1] == "done"
    assert len(jobs(nightly)) == 1
