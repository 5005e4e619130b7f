"""What kube-state-metrics tells of a cluster, under its names, and gauges that a test sets besides."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from tests.bed.kube.cluster import Cluster
from tests.bed.web import JsonObject

Labels = Mapping[str, str]


@dataclass(slots=True)
class Exporter:
    """Serves ``/metrics``; `set` is for what an application would tell by itself."""

    cluster: Cluster
    url: str = ""
    gauges: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)
    scrapes: int = 0

    def set(self, name: str, value: float, **labels: str) -> None:
        """Let a gauge have a value from the next scrape on."""
        self.gauges[name, tuple(sorted(labels.items()))] = value

    def lines(self) -> Iterator[str]:
        """Yield the exposition."""
        for pod in self.cluster.every("Pod"):
            yield from _waiting(pod)
        for deployment in self.cluster.every("Deployment"):
            meta, status = deployment["metadata"], deployment.get("status", {})
            labels = {"namespace": meta["namespace"], "deployment": meta["name"]}
            yield _line("kube_deployment_spec_replicas", labels, deployment["spec"]["replicas"])
            yield _line("kube_deployment_status_replicas_available", labels, status.get("availableReplicas", 0))
        for node in self.cluster.every("Node"):
            yield from _conditions(node)
            unschedulable = bool(node["spec"].get("unschedulable"))
            yield _line("kube_node_spec_unschedulable", {"node": node["metadata"]["name"]}, unschedulable)
        for (name, labelled), value in self.gauges.items():
            yield _line(name, dict(labelled), value)

    async def answer(self, _: web.Request) -> web.Response:
        """Answer a scrape."""
        self.scrapes += 1
        return web.Response(text="".join(f"{line}\n" for line in self.lines()))


def _waiting(pod: JsonObject) -> Iterator[str]:
    meta = pod["metadata"]
    for status in pod.get("status", {}).get("containerStatuses", ()):
        reason = status.get("state", {}).get("waiting", {}).get("reason", "")
        if reason:
            labels = {"namespace": meta["namespace"], "pod": meta["name"], "container": status["name"]}
            yield _line("kube_pod_container_status_waiting_reason", {**labels, "reason": reason}, 1)


def _conditions(node: JsonObject) -> Iterator[str]:
    for one in node.get("status", {}).get("conditions", ()):
        for status in ("True", "False", "Unknown"):
            labels = {"node": node["metadata"]["name"], "condition": one["type"], "status": status.lower()}
            yield _line("kube_node_status_condition", labels, one["status"] == status)


def _line(name: str, labels: Labels, value: float) -> str:
    written = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"{name}{{{written}}} {float(value)}"


@contextlib.asynccontextmanager
async def exporter(cluster: Cluster) -> AsyncIterator[Exporter]:
    """Serve a cluster's metrics on a free port, in the loop of the test."""
    one = Exporter(cluster)
    app = web.Application()
    app.router.add_get("/metrics", one.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        one.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield one
    finally:
        await runner.cleanup()
