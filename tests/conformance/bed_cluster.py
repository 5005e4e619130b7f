"""The bed of the Kubernetes actions on a cluster that is not ours: real objects in a namespace of its own.

What is sent goes through a door of ours: it counts the changes that were made, and misbehaves when it is told to. The
tests are those of the peer. Left out is what a stranger's cluster should not be asked for: nodes, volumes that grow,
and kinds that it does not know. ``make test-cluster`` says where it is.
"""

import asyncio
import json
import os
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import JsonValue

from responder.clients.kubeconfig import Access, load_access
from responder.clients.toolbox import ClusterSpec, Toolbox
from responder.domain.reconcilers import at
from tests.bed.kube import kubeconfig
from tests.bed.kube.kinds import named
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject

VARIABLE = "RESPONDER_TEST_CLUSTER"
"""The environment's word for the kubeconfig; KUBECONFIG alone is not enough to change things in a cluster."""
GIVEN = os.environ.get(VARIABLE, "")
NAMESPACE = f"responder-test-{uuid.uuid4().hex[:8]}" if GIVEN else "shop"
QUIET = 0.4
"""Seconds without a write after which controllers are taken to have come to rest."""
PATIENCE = timedelta(seconds=60)
_TRANSPORT = frozenset(
    {"host", "content-length", "connection", "transfer-encoding", "authorization", "accept-encoding"}
)
_ANSWERS = {"503": 503, "applied_error": 500, "409": 409, "429": 429, "403": 403, "422": 422}


@dataclass(slots=True)
class Remote:
    """A cluster as its administrator sees it; calls wait for their answers, and go past the door."""

    access: Access
    credentials: Mapping[str, str]

    def ask(self, method: str, path: str, body: JsonValue = None, kind: str = "application/json") -> JsonObject:
        """Return the answer; raises KeyError for what is not there."""
        data = None if body is None else json.dumps(body).encode()
        headers = {**self.credentials, "Content-Type": kind, "Accept": "application/json"}
        request = urllib.request.Request(self.access.host + path, data, headers, method=method)  # noqa: S310 - as given
        try:
            with urllib.request.urlopen(request, timeout=10, context=self.access.tls) as answer:  # noqa: S310 - as given
                found: JsonObject = json.loads(answer.read())
                return found
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise KeyError(path) from None
            raise ValueError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')[:500]}") from None

    def find(self, kind: str, namespace: str, name: str) -> JsonObject | None:
        """Return an object, None when there is none."""
        try:
            return self.ask("GET", named(kind).url(namespace, name))
        except KeyError:
            return None

    def get(self, kind: str, namespace: str, name: str) -> JsonObject:
        """Return an object; raises KeyError when there is none."""
        return self.ask("GET", named(kind).url(namespace, name))

    def every(self, kind: str) -> list[JsonObject]:
        """Return the objects of a kind in the namespace of the tests."""
        return list(self.ask("GET", named(kind).url(NAMESPACE))["items"])

    def patch(self, kind: str, namespace: str, name: str, body: JsonObject) -> JsonObject:
        """Merge ``body`` into an object, as somebody else."""
        return self.ask("PATCH", named(kind).url(namespace, name), body, "application/merge-patch+json")

    def apply(self, manifest: JsonObject) -> JsonObject:
        """Create an object, or merge the manifest into it."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if self.find(kind, NAMESPACE, name) is None:
            return self.ask("POST", named(kind).url(NAMESPACE), manifest)
        return self.patch(kind, NAMESPACE, name, manifest)

    def delete(self, kind: str, namespace: str, name: str, grace: int | None = None) -> None:
        """Delete an object with what it has made."""
        options: JsonObject = {"propagationPolicy": "Background"}
        self.ask(
            "DELETE", named(kind).url(namespace, name), options | ({} if grace is None else {"gracePeriodSeconds": 0})
        )

    async def gone(self, kind: str, name: str) -> None:
        """Delete an object, and wait until it is gone."""
        if self.find(kind, NAMESPACE, name) is not None:
            self.delete(kind, NAMESPACE, name, grace=0)
        await eventually(lambda: self.find(kind, NAMESPACE, name) is None, PATIENCE)

    async def rest(self, kind: str, name: str) -> None:
        """Wait until the controllers have seen an object and leave it alone."""
        last = ""
        while True:
            found = self.get(kind, NAMESPACE, name)
            version, seen = found["metadata"]["resourceVersion"], at(found, "status", "observedGeneration")
            if version == last and seen in (None, found["metadata"].get("generation")):
                return
            last = version
            await asyncio.sleep(QUIET)  # nothing tells that nobody will write any more


@dataclass(slots=True)
class Door:
    """Passes requests on. ``made`` are the changes that had their effect; ``next`` is how the next one fails."""

    remote: Remote
    made: list[JsonObject] = field(default_factory=list)
    next: str = ""
    reads: bool = False

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """Send a request as the administrator, unless it is to be lost."""
        reading = request.method == "GET"
        body = await request.read()
        kept = not (reading or "dryRun" in request.query_string or b'"dryRun"' in body)
        fault = self.next if (self.reads if reading else kept) else ""
        self.next = "" if fault else self.next
        if fault and not fault.startswith(("applied", "lost")):
            return await self._instead(request, fault)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _TRANSPORT}
        url = self.remote.access.host + request.path_qs
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method,
                url,
                data=body or None,
                headers={**headers, **self.remote.credentials},
                ssl=self.remote.access.tls or True,
            ) as answer,
        ):
            content = await answer.read()
            if kept and 200 <= answer.status < 300:
                self.made.append({"method": request.method, "path": request.path})
            if fault:
                return await self._instead(request, fault)
            return web.Response(status=answer.status, body=content, content_type="application/json")

    async def _instead(self, request: web.Request, fault: str) -> web.StreamResponse:
        if fault in _ANSWERS:
            return web.json_response({"kind": "Status", "message": "told to fail"}, status=_ANSWERS[fault])
        if "hang" in fault or fault == "slow":
            await asyncio.sleep(10)  # whoever waits gives up before
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


@dataclass(frozen=True, slots=True)
class Opened:
    """A cluster with its door, and tools that go through it: patient ones and hasty ones."""

    remote: Remote
    door: Door
    tools: Toolbox
    hasty: Toolbox


@asynccontextmanager
async def connected(folder: Path, token: str, given: str = GIVEN) -> AsyncIterator[Opened]:
    """Open the cluster of a kubeconfig, with a namespace of ours; `forget` takes it away when all is over."""
    access = await load_access("test", Path(given), None)
    remote = Remote(access, await access.headers())
    door = Door(remote)
    app = web.Application(client_max_size=3 * 2**20)
    app.router.add_route("*", "/{path:.*}", door.pass_on)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    path = kubeconfig.write(folder / "kubeconfig", f"http://127.0.0.1:{runner.addresses[0][1]}", token)
    patient, hasty = (
        Toolbox({}, {}, clusters={"eu": ClusterSpec(path, timeout=timedelta(seconds=seconds))})
        for seconds in (10.0, 2.5)
    )
    try:
        if remote.find("Namespace", "", NAMESPACE) is None:
            remote.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        yield Opened(remote, door, patient, hasty)
    finally:
        await patient.close()
        await hasty.close()
        await runner.cleanup()


def forget() -> None:
    """Take the namespace away again; what is in it goes with it."""

    async def taken() -> None:
        access = await load_access("test", Path(GIVEN), None)
        remote = Remote(access, await access.headers())
        if remote.find("Namespace", "", NAMESPACE) is not None:
            remote.delete("Namespace", "", NAMESPACE)

    asyncio.run(taken())


def comparable(obj: dict[str, Any]) -> dict[str, Any]:
    """Return an object without what controllers note in it when they have seen a change."""
    notes = obj["metadata"].get("annotations", {})
    for name in ("deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation"):
        notes.pop(name, None)
    if not notes:
        obj["metadata"].pop("annotations", None)
    return obj
