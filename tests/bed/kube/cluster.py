"""A Kubernetes cluster in the loop of a test: an API server, its controllers, and nodes that only pretend.

::

    async with Cluster() as cluster:
        cluster.apply(deployment("web", image="shop:1"))
        cluster.settled()
        assert cluster.get("Deployment", "shop", "web")["status"]["readyReplicas"] == 2

Clients reach it over `url` with a token (`admin`, or `token(…)` of somebody whose rights are Roles and bindings), or
with a file that `kubeconfig` writes. A test that uses no more than `get`, `find`, `every`, `apply`, `patch`, `delete`,
`until` and `kubeconfig` can be given a real cluster instead; faults, images and the clock are the peer's alone. What
the test does through `apply`, `patch`, `delete` is not in the ledger: only what came over HTTP is.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from tests.bed.kube import access, control, kubeconfig
from tests.bed.kube.access import ADMINS, Access, User, known, service_account
from tests.bed.kube.deletion import Deletion, delete
from tests.bed.kube.faults import Fault, Faults
from tests.bed.kube.images import Behaviour
from tests.bed.kube.keepers import Keepers
from tests.bed.kube.kinds import Place, kind_of, named
from tests.bed.kube.ledger import Ledger
from tests.bed.kube.logs import Logs
from tests.bed.kube.metrics import Filled, Metrics, Usage
from tests.bed.kube.nodes import new_node
from tests.bed.kube.objects import Objects, Options
from tests.bed.kube.patches import APPLY, MERGE
from tests.bed.kube.runner import Runner
from tests.bed.kube.server import ApiServer
from tests.bed.kube.store import Clock, Store
from tests.bed.kube.world import World
from tests.bed.web import JsonObject

_TEST = Options("kubectl-client-side-apply", force=True)
_NAMESPACES = ("default", "kube-system", "kube-public")


@dataclass(slots=True)
class Cluster:
    """The cluster.

    `nodes` is how many it has, ``node-1`` …; `tls` serves https with a certificate of its own;
    `port` 0 is any that is free. With a `port`, the administrator's kubeconfig is written to `config` before it opens.

    With `automatic` off the controllers work only in `settled`, `advance` and `runner.step`: a test sees each state
    between; with ``clock=Clock.still()`` time passes in `advance` alone. `ledger` and `faults` are those of the API
    server; `images` says how images behave (`Behaviour`).
    """

    nodes: int = 3
    automatic: bool = True
    tls: bool = False
    port: int = 0
    config: Path | None = None
    ledger: Ledger = field(default_factory=Ledger)
    clock: Clock = field(default_factory=Clock)
    url: str = ""
    admin: str = ""
    ca: str = ""
    store: Store = field(init=False)
    objects: Objects = field(init=False)
    access: Access = field(init=False)
    world: World = field(init=False)
    runner: Runner = field(init=False)
    keepers: Keepers = field(default_factory=Keepers)
    server: ApiServer = field(init=False)
    _task: asyncio.Task[None] | None = None
    _left: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    def __post_init__(self) -> None:
        """Set up an empty cluster: its namespaces, its nodes and one administrator."""
        self.store = Store(self.clock)
        self.objects = Objects(self.store)
        self.access = Access(self.store)
        logs, metrics = Logs(self.clock), Metrics(self.store)
        self.world = World(self.store, self.objects, logs, metrics)
        self.runner = Runner(self.world)
        self.runner.controllers["Keepers"] = self.keepers
        self.server = ApiServer(self.store, self.objects, self.access, logs, metrics, self.ledger)
        self.admin = self.token("admin", groups=(ADMINS,))
        for name in _NAMESPACES:
            self.objects.create(named("Namespace"), "", {"metadata": {"name": name}}, Options("kube-apiserver"))
        for role, rules in access.ROLES.items():
            self.objects.create(named("ClusterRole"), "", {"metadata": {"name": role}, "rules": rules}, _TEST)
        for number in range(1, self.nodes + 1):
            self.add_node(f"node-{number}")
        self.runner.settle()

    async def __aenter__(self) -> Self:
        """Serve on a free port of loopback, and let the controllers work."""
        self.url = await self._left.enter_async_context(self._serving())
        if self.automatic:
            await self._left.enter_async_context(self._working())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop; what hangs is cut off."""
        await self._left.aclose()
        self.ledger.close()

    # --- what a test looks at ------------------------------------------------------------------------------------

    @property
    def faults(self) -> Faults:
        """Return the faults to come; see also `fault`."""
        return self.server.faults

    @property
    def images(self) -> dict[str, Behaviour]:
        """Return how images behave: ``cluster.images["shop:bad"] = Behaviour.crashes()``; others are healthy."""
        return self.world.images

    def get(self, kind: str, namespace: str, name: str) -> JsonObject:
        """Return an object as it is; raise KeyError when there is none. Do not change it."""
        found = self.store.get(kind, namespace, name)
        if found is None:
            raise KeyError(f"{kind} {namespace}/{name}")
        return found

    def find(self, kind: str, namespace: str, name: str) -> JsonObject | None:
        """Return an object as it is, or None."""
        return self.store.get(kind, namespace, name)

    def every(self, kind: str, namespace: str = "") -> list[JsonObject]:
        """Return the objects of a kind, in all namespaces when none is given."""
        return self.store.every(kind, namespace)

    def pods(self, namespace: str, app: str = "") -> list[JsonObject]:
        """Return the pods that are not on their way out, of one `app` label when it is given."""
        return [
            pod
            for pod in self.store.every("Pod", namespace)
            if "deletionTimestamp" not in pod["metadata"] and app in {"", pod["metadata"].get("labels", {}).get("app")}
        ]

    # --- what a test does ----------------------------------------------------------------------------------------

    def apply(
        self, manifest: JsonObject | Iterable[JsonObject], manager: str = "kubectl-client-side-apply"
    ) -> JsonObject:
        """Create or change what a manifest (or each of several) describes; a missing namespace is made. Returns it."""
        if not isinstance(manifest, dict):
            return [self.apply(one, manager) for one in manifest][-1]
        kind, meta = kind_of(manifest), manifest["metadata"]
        namespace = meta.get("namespace", "default") if kind.namespaced else ""
        if namespace and self.find("Namespace", "", namespace) is None:
            self.namespace(namespace)
        options = Options(manager, force=True, validation="Strict")
        if self.store.get(kind, namespace, meta["name"]) is None:
            made = self.objects.create(kind, namespace, manifest, options).obj
        else:
            made = self.objects.patch(Place(kind, namespace, meta["name"]), MERGE, manifest, options).obj
        if "status" in manifest and "status" in kind.subresources:
            body = {"status": manifest["status"]}
            status = Options(manager, subresource="status")
            made = self.objects.patch(Place(kind, namespace, meta["name"]), MERGE, body, status).obj
        return made

    def server_side_apply(self, manifest: JsonObject, manager: str) -> JsonObject:
        """Apply as a GitOps tool does: `manager` owns what the manifest holds."""
        kind, meta = kind_of(manifest), manifest["metadata"]
        namespace = meta.get("namespace", "default") if kind.namespaced else ""
        return self.objects.patch(
            Place(kind, namespace, meta["name"]), APPLY, manifest, Options(manager, force=True)
        ).obj

    def keep(self, manifest: JsonObject, manager: str) -> None:
        """Let a GitOps tool apply `manifest` as `manager` whenever the cluster has come away from it."""
        self.keepers.kept.append((manifest, manager))
        self.store.wake()

    def patch(
        self, kind: str, namespace: str, name: str, body: JsonObject, manager: str = "kubectl-edit"
    ) -> JsonObject:
        """Merge `body` into an object, as another person would behind the responder's back."""
        return self.objects.patch(Place(named(kind), namespace, name), MERGE, body, Options(manager)).obj

    def set_status(self, kind: str, namespace: str, name: str, status: JsonObject) -> JsonObject:
        """Merge `status` into the status of an object."""
        options = Options("test", subresource="status")
        return self.objects.patch(Place(named(kind), namespace, name), MERGE, {"status": status}, options).obj

    def delete(self, kind: str, namespace: str, name: str, grace: int | None = None) -> None:
        """Delete an object."""
        delete(self.objects, Place(named(kind), namespace, name), Deletion(grace=grace))

    def namespace(self, name: str, labels: JsonObject | None = None) -> JsonObject:
        """Create a namespace, unless it is there."""
        found = self.find("Namespace", "", name)
        body = {"metadata": {"name": name, **({"labels": labels} if labels else {})}}
        return found or self.objects.create(named("Namespace"), "", body, _TEST).obj

    def add_node(self, name: str, labels: JsonObject | None = None) -> JsonObject:
        """Add a node that is Ready."""
        body, status = new_node(name, self.clock.stamp())
        body["metadata"]["labels"] |= labels or {}
        made = self.objects.create(named("Node"), "", body, Options("kubelet")).obj
        return self.world.set_status(made, status, "kubelet")

    def kill_node(self, name: str) -> None:
        """Silence a node's kubelet; 40 s later (`advance`) the node is Unknown and tainted, its pods stay Running."""
        self.get("Node", "", name)
        self.world.dead[name] = self.world.now
        self.store.wake()

    def revive_node(self, name: str) -> None:
        """Let a dead node's kubelet speak again."""
        self.world.dead.pop(name, None)
        self.store.wake()

    def usage(self, namespace: str, start: str, cpu: str = "10m", memory: str = "32Mi") -> None:
        """Say what each container of the pods whose names begin with `start` uses, for metrics and autoscalers."""
        self.world.metrics.usage[namespace, start] = Usage(cpu, memory)
        self.store.wake()

    def volume(self, namespace: str, claim: str, used: int, capacity: int) -> None:
        """Say what the volume of a claim holds, in bytes: kubelets tell it of what their pods mount."""
        self.world.metrics.volumes[namespace, claim] = Filled(used, capacity)

    def log(self, namespace: str, pod: str, text: str, container: str = "") -> None:
        """Let a container write lines to its log."""
        found = self.get("Pod", namespace, pod)
        name = container or found["spec"]["containers"][0]["name"]
        statuses = found["status"].get("containerStatuses", ())
        restarts = next((one["restartCount"] for one in statuses if one["name"] == name), 0)
        self.world.logs.write(found, name, text, restarts)

    def fault(self, kind: str, times: int = 1, **more: Any) -> None:  # noqa: ANN401 -- fields of Fault
        """Misbehave on the next `times` requests that fit, see `faults.KINDS` and `faults.Fault`."""
        self.faults.add(Fault(kind, **more), times)

    # --- time ----------------------------------------------------------------------------------------------------

    def settled(self) -> None:
        """Let the controllers do at once whatever is to be done at this time."""
        self.runner.settle()

    def advance(self, seconds: float) -> None:
        """Let time pass at once: what falls due in between happens in its order."""
        self.runner.skip(seconds)

    async def until(self, look: Callable[[], Any], within: timedelta = timedelta(seconds=10)) -> Any:  # noqa: ANN401 -- whatever `look` returns
        """Wait for a change after which `look` returns something truthy, and return that."""
        async with asyncio.timeout(within.total_seconds()):
            while not (seen := look()):
                if self._task is not None and self._task.done():
                    self._task.result()  # the controllers have failed: nothing more will change
                await self.store.changed()
        return seen

    # --- who may do what -----------------------------------------------------------------------------------------

    def token(self, user: str, groups: Iterable[str] = ()) -> str:
        """Return a token of `user`; what they may do is up to the Roles and bindings that are applied."""
        return self.access.token(known(user, *groups))

    def revoke(self, token: str) -> None:
        """Let nobody be known by `token` any longer: 401."""
        self.access.tokens.pop(token, None)

    def account_token(self, namespace: str, name: str) -> str:
        """Return a token of a service account; the account is made when it is not there."""
        self.namespace(namespace)
        if self.find("ServiceAccount", namespace, name) is None:
            self.objects.create(named("ServiceAccount"), namespace, {"metadata": {"name": name}}, _TEST)
        return self.access.token(service_account(namespace, name))

    def allow(self, user: User | str, rules: JsonObject | Iterable[JsonObject], namespace: str = "") -> None:
        """Bind `rules` to a user's name, in one namespace or everywhere."""
        name = user if isinstance(user, str) else user.name
        listed = [rules] if isinstance(rules, dict) else [*rules]
        for scope in _role(name, listed, namespace, len(self.every("ClusterRole")) + len(self.every("Role"))):
            self.apply(scope)

    def kubeconfig(self, path: Path, token: str = "", *, user: str = "", namespace: str = "default") -> Path:
        """Write a kubeconfig for `token`, for a new token of `user`, or for the administrator. Returns `path`."""
        token = token or (self.token(user) if user else self.admin)
        return kubeconfig.write(path, self.url, token, ca=self.ca, namespace=namespace)

    # --- running -------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[str]:
        app = web.Application(client_max_size=3 * 2**20)  # the limit of a real API server
        control.add(app, self)
        self.server.add(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await runner.setup()
        try:
            with kubeconfig.certificate() if self.tls else contextlib.nullcontext() as found:
                context, self.ca = found if found is not None else (None, "")
                scheme = "https" if self.tls else "http"
                if self.config is not None:
                    kubeconfig.write(self.config, f"{scheme}://127.0.0.1:{self.port}", self.admin, ca=self.ca)
                site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=context)
                await site.start()
                yield f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    @contextlib.asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        self._task = task = asyncio.create_task(self.runner.run())
        task.add_done_callback(lambda _: self.store.wake())
        try:
            yield
        finally:
            if task.done():
                task.result()  # the controllers have failed: the test must know
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _role(user: str, rules: list[JsonObject], namespace: str, number: int) -> list[JsonObject]:
    """Return a role with `rules` and its binding to `user`."""
    group = "rbac.authorization.k8s.io"
    kind = "Role" if namespace else "ClusterRole"
    meta = {"name": f"allowed-{number}", **({"namespace": namespace} if namespace else {})}
    version = f"{group}/v1"
    subject = {"kind": "User", "apiGroup": group, "name": user}
    reference = {"apiGroup": group, "kind": kind, "name": meta["name"]}
    return [
        {"apiVersion": version, "kind": kind, "metadata": meta, "rules": rules},
        {
            "apiVersion": version,
            "kind": f"{kind}Binding",
            "metadata": meta,
            "roleRef": reference,
            "subjects": [subject],
        },
    ]
