"""``python -m benchmarks.first_look KUBECONFIG``: a process that looks at a cluster for the first time, as JSON."""

import asyncio
import gc
import json
import os
import sys
import time
from pathlib import Path

from benchmarks.place import resident_mb
from responder.app import runtime
from responder.clients.toolbox import ClusterSpec, Toolbox

NAMESPACE, PODS = "/api/v1/namespaces/shop", "/api/v1/namespaces/shop/pods"
LIBRARY = "kubernetes_asyncio"
TICK = 0.001


async def _longest_gap(ended: asyncio.Event) -> float:
    """Return the longest time for which the loop did not get round."""
    longest = 0.0
    while not ended.is_set():
        began = time.perf_counter()
        await asyncio.sleep(TICK)
        longest = max(longest, time.perf_counter() - began - TICK)
    return longest


async def look(kubeconfig: Path) -> dict[str, float]:
    """Look once, then list the pods while something else wants the loop."""
    tools = Toolbox({}, {}, clusters={"eu": ClusterSpec(kubeconfig)})
    if LIBRARY in sys.modules:
        raise SystemExit(f"{LIBRARY} was loaded before anybody looked at a cluster")
    before, began = resident_mb(os.getpid()), time.perf_counter()
    cluster = tools.cluster("eu")
    await cluster.get(NAMESPACE)
    first = time.perf_counter() - began
    gc.collect()
    memory = resident_mb(os.getpid()) - before
    blocks = []
    for _ in range(5):
        ended = asyncio.Event()
        ticking = asyncio.create_task(_longest_gap(ended))
        await asyncio.sleep(TICK * 5)
        pods = await cluster.list(PODS)
        ended.set()
        blocks.append(await ticking)
    text = json.dumps(pods)
    began = time.perf_counter()
    json.loads(text)
    decode = time.perf_counter() - began
    await tools.close()
    return {"first": first, "memory": memory, "block": min(blocks), "decode": decode}


def main() -> None:
    """Look, with all that a running responder has loaded."""
    assert runtime is not None
    print(json.dumps(asyncio.run(look(Path(sys.argv[1])))))


if __name__ == "__main__":
    main()
