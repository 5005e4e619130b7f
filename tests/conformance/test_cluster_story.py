"""What happens to a workload from a look to the end, in whatever cluster there is: one of ours, or a real one.

Pods need not run for it: what is asked is what the API and its controllers say.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from responder.domain.runs import RunState
from tests.act_bed import Bed, open_bed
from tests.bed.kube.process import cluster_process
from tests.bed.stores import embedded
from tests.conformance import bed_cluster
from tests.conformance.bed_cluster import NAMESPACE, Opened
from tests.conformance.bed_kubernetes import workload

OF = f"deployment/{NAMESPACE}/story"
PLAYBOOK = f"""\
schema: 1
name: story
summary: A story.
mode: auto
matchers:
  - alertname="Overloaded"
target: {OF}
steps:
  - id: it
    STEP
verify:
  - name: as it should be
    probe: PROBE
    equals: WANTED
    within: SECONDS
"""


def playbook(step: str, probe: str, wanted: int, seconds: str) -> str:
    text = PLAYBOOK.replace("STEP", step).replace("PROBE", probe).replace("WANTED", str(wanted))
    return text.replace("SECONDS", seconds)


BACK = playbook("kubernetes.rollout_undo: {}", f"kubernetes.revision\n    with: {{ of: {OF}, read: number }}", 3, "30s")
OUT = playbook(
    "kubernetes.scale: { by: 2, max: 10 }", f"kubernetes.rollout\n    with: {{ of: {OF}, read: wanted }}", 99, "1s"
)


@pytest.fixture(scope="module")
def given() -> Iterator[str]:
    """Give the kubeconfig of the cluster that is to be used."""
    if bed_cluster.GIVEN:
        yield bed_cluster.GIVEN
        return
    with cluster_process(nodes=1) as cluster:
        yield str(cluster.kubeconfig)


@pytest.fixture
async def opened(given: str, tmp_path: Path) -> AsyncIterator[Opened]:
    async with bed_cluster.connected(tmp_path, "nobody's", given) as one:
        for image in ("shop:1", "shop:2"):
            one.remote.apply(workload("Deployment", "story", image))
            await one.remote.rest("Deployment", "story")
        yield one


@pytest.fixture
async def bed(opened: Opened, tmp_path: Path) -> AsyncIterator[Bed]:
    made = await open_bed(embedded(tmp_path / "responder.db"), "http://127.0.0.1:1")
    yield replace(made, engine=replace(made.engine, tools=opened.tools), tools=opened.tools)
    await made.store.close()


async def test_a_story_of_a_release_that_is_taken_back_and_a_scale_out_that_does_not_help(
    bed: Bed, opened: Opened
) -> None:
    remote, place = opened.remote, ("Deployment", NAMESPACE, "story")
    run = await bed.work(await bed.begin(BACK, target=f"eu/{OF}"), turns=4000)
    assert run.state is RunState.VERIFIED, run.reason
    assert remote.get(*place)["spec"]["template"]["spec"]["containers"][0]["image"] == "shop:1"
    assert [(one["method"], one["path"].rpartition("/")[2]) for one in opened.door.made] == [("PATCH", "story")]
    await remote.rest("Deployment", "story")
    run = await bed.begin(OUT, target=f"eu/{OF}")
    await bed.work(run, until=frozenset({RunState.VERIFYING}), turns=4000)
    assert remote.get(*place)["spec"]["replicas"] == 4
    remote.patch(*place, {"spec": {"minReadySeconds": 3}})
    run = await bed.work(run, turns=4000)
    assert run.state is RunState.ROLLED_BACK, run.reason
    found = remote.get(*place)["spec"]
    assert (found["replicas"], found["minReadySeconds"]) == (2, 3), "exactly as before, and the edit survives"
    assert len(opened.door.made) == 3
