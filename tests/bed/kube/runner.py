"""Runs the controllers: whenever something changed or a time has come, until there is nothing left to do."""

import asyncio
from dataclasses import dataclass, field

from tests.bed.kube.argo import Applications
from tests.bed.kube.autoscalers import Autoscalers
from tests.bed.kube.budgets import Budgets
from tests.bed.kube.collector import Collector, Namespaces, Quotas
from tests.bed.kube.daemonsets import DaemonSets
from tests.bed.kube.deployments import Deployments
from tests.bed.kube.endpoints import ServiceEndpoints
from tests.bed.kube.jobs import CronJobs, Jobs
from tests.bed.kube.kubelets import Kubelets
from tests.bed.kube.nodes import NodeLife, Scheduler
from tests.bed.kube.replicasets import ReplicaSets
from tests.bed.kube.statefulsets import StatefulSets
from tests.bed.kube.world import Controller, World

_ROUNDS = 200  # a cluster that is not settled after so many has controllers that fight


def _all() -> dict[str, Controller]:
    return {
        "Namespaces": Namespaces(),
        "Collector": Collector(),
        "Deployments": Deployments(),
        "ReplicaSets": ReplicaSets(),
        "NodeLife": NodeLife(),
        "StatefulSets": StatefulSets(),
        "DaemonSets": DaemonSets(),
        "CronJobs": CronJobs(),
        "Jobs": Jobs(),
        "Scheduler": Scheduler(),
        "Kubelets": Kubelets(),
        "Endpoints": ServiceEndpoints(),
        "Budgets": Budgets(),
        "Autoscalers": Autoscalers(),
        "Quotas": Quotas(),
        "Applications": Applications(),
    }


@dataclass(slots=True)
class Runner:
    """All controllers of a cluster. `held` ones do nothing: a test may want to see the time in between."""

    world: World
    controllers: dict[str, Controller] = field(default_factory=_all)
    held: set[str] = field(default_factory=set)
    _seen: int = -1

    def settle(self) -> None:
        """Let them work until nothing is left to do at this time."""
        for _ in range(_ROUNDS):
            if not self.round():
                return
        last = [f"{one.what} {one.kind.kind} {one.now['metadata']['name']}" for one in self.world.store.history][-10:]
        raise RuntimeError(f"the controllers do not come to rest: {', '.join(last)}")

    def round(self) -> bool:
        """Let each work once; returns whether any changed something."""
        before, self.world.due = self.world.store.version, None
        for name, controller in self.controllers.items():
            if name not in self.held:
                for _ in controller.work(self.world):
                    pass
        return self.world.store.version != before

    def step(self, name: str, times: int = 1) -> None:
        """Let one controller do its next `times` changes, and no other anything."""
        for _ in range(times):
            next(iter(self.controllers[name].work(self.world)), None)

    def skip(self, seconds: float) -> None:
        """Let time pass at once: everything that falls due in between happens at its time and in its order."""
        clock = self.world.store.clock
        self.settle()
        end = self.world.now + seconds
        while self.world.due is not None and self.world.due <= end:
            clock.skipped += max(0.0, self.world.due - self.world.now)
            self.settle()
        clock.skipped += max(0.0, end - self.world.now)
        self.settle()
        self.world.store.wake()

    async def run(self) -> None:
        """Work whenever there is something to do, for ever."""
        while True:
            self.settle()
            seen = self.world.store.version
            left = None if self.world.due is None else max(0.0, self.world.due - self.world.now)
            if self.world.store.version != seen:
                continue
            try:
                await asyncio.wait_for(self.world.store.changed(), left)
            except TimeoutError:
                continue
