"""What the first use of a cluster costs a responder, and how long 500 pods of one keep its loop from anything else."""

import json
import subprocess
import sys

from benchmarks.place import ROOT, Place
from benchmarks.report import Goal, Result, Row
from benchmarks.sizes import Sizes
from tests.bed.kube.process import cluster_process
from tests.conformance.bed_kubernetes import workload

PODS = 500
NODES = 8
"""A node takes 110 pods."""
_ALONE = """\
import json, time, os, aiohttp
from benchmarks.place import resident_mb
before, began = resident_mb(os.getpid()), time.perf_counter()
import kubernetes_asyncio.client, kubernetes_asyncio.config
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "memory": resident_mb(os.getpid()) - before}))
"""


def measure(place: Place, sizes: Sizes) -> Result:
    """Fill a cluster, and look at it from a process that has what a responder has loaded; the best of some starts."""
    del place
    pods = min(PODS, 20) if sizes.starts == 1 else PODS
    with cluster_process(nodes=NODES) as cluster:
        cluster.do("apply", manifest=workload("Deployment", "web", "shop:1", replicas=pods))
        while len(found := cluster.do("pods", namespace="shop")) < pods:  # type: ignore[arg-type]  # a list of pods
            cluster.do("settled")
        size = len(json.dumps(found)) / 1e6
        seen = [_told("-m", "benchmarks.first_look", str(cluster.kubeconfig)) for _ in range(sizes.starts)]
    alone = [_told("-c", _ALONE) for _ in range(sizes.starts)]
    first, memory, block, decode = (min(one[name] for one in seen) for name in ("first", "memory", "block", "decode"))
    rows = [
        Row("first use", first, "s", min(one["seconds"] for one in alone), Goal("most", 0.5)),
        Row("memory of it", memory, "MB", min(one["memory"] for one in alone), Goal("most", 60)),
        Row(f"loop blocked, {pods} pods", block * 1000, "ms", decode * 1000, Goal("most", 50)),
    ]
    return Result(
        title=f"cluster: its first use, and {pods} pods ({size:.1f} MB) listed",
        rows=rows,
        ceiling="importing kubernetes-asyncio alone, with its memory; decoding all of it at once",
        quote=f"first use of a cluster {first:.2f} s and {memory:.0f} MB; {pods} pods block for {block * 1000:.0f} ms",
    )


def _told(*arguments: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found
