"""A cluster is spoken to once per call, within a deadline, and its errors say whether anything happened."""

import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import JsonValue

from responder.clients.kubernetes import KubernetesClient
from responder.domain.errors import Permanent, StepError, Temporary, Uncertain
from tests.bed.processes import free_port
from tests.bed.web import cut, serving

TOKEN = "planted-token-of-the-cluster"
WEB = "/apis/apps/v1/namespaces/shop/deployments/web"


@dataclass
class Server:
    """Answers with what is put into ``answers``, the last one for ever, and remembers what it was asked."""

    answers: list[tuple[int, JsonValue]] = field(default_factory=list)
    fault: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[web.Request] = field(default_factory=list)
    bodies: list[JsonValue] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.seen.append(request)
        self.bodies.append(json.loads(text) if text else None)
        if self.fault:
            return cut(request)
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.json_response(body, status=status, headers=self.headers)


def kubeconfig(path: Path, url: str, user: dict[str, JsonValue] | None = None) -> Path:
    path.write_text(
        json.dumps(
            {
                "current-context": "eu",
                "contexts": [{"name": "eu", "context": {"cluster": "eu", "user": "us"}}],
                "clusters": [{"name": "eu", "cluster": {"server": url}}],
                "users": [{"name": "us", "user": {"token": TOKEN} if user is None else user}],
            }
        )
    )
    return path


@asynccontextmanager
async def client(path: Path, url: str, seconds: float = 10) -> AsyncIterator[KubernetesClient]:
    one = KubernetesClient("prod-eu", path, timeout=timedelta(seconds=seconds))
    kubeconfig(path, url)
    try:
        yield one
    finally:
        await one.close()


@pytest.fixture
async def server() -> Server:
    return Server([(200, {"kind": "Deployment", "metadata": {"name": "web"}})])


@pytest.fixture
async def cluster(server: Server, tmp_path: Path) -> AsyncIterator[KubernetesClient]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.answer)
    async with serving(app) as url, client(tmp_path / "kubeconfig", url) as one:
        yield one


def status(code: int, reason: str, message: str, **details: JsonValue) -> tuple[int, JsonValue]:
    return code, {"kind": "Status", "message": message, "reason": reason, "details": dict(details), "code": code}


# --- what is sent ---------------------------------------------------------------------------------------------------


async def test_a_patch_names_us_its_kind_and_the_credentials_of_the_kubeconfig(
    cluster: KubernetesClient, server: Server
) -> None:
    await cluster.patch(WEB, {"spec": {"replicas": 3}})
    await cluster.patch(WEB, [], "json", dry_run=True)
    first, second = server.seen
    assert first.query == {"fieldManager": "responder", "fieldValidation": "Strict"}
    assert first.headers["Content-Type"] == "application/merge-patch+json"
    assert first.headers["Authorization"] == f"Bearer {TOKEN}"
    assert server.bodies[0] == {"spec": {"replicas": 3}}
    assert second.query["dryRun"] == "All"
    assert second.headers["Content-Type"] == "application/json-patch+json"


async def test_a_list_is_read_to_its_end(cluster: KubernetesClient, server: Server) -> None:
    server.answers = [
        (200, {"metadata": {"continue": "more"}, "items": [{"kind": "Pod", "n": 1}]}),
        (200, {"metadata": {}, "items": [{"kind": "Pod", "n": 2}]}),
    ]
    found = await cluster.list("/api/v1/pods", labels="app=web")
    assert [one["n"] for one in found] == [1, 2]
    assert [one.query.get("continue") for one in server.seen] == [None, "more"]
    assert {one.query["labelSelector"] for one in server.seen} == {"app=web"}


async def test_a_change_passes_its_gate_before_its_first_byte(cluster: KubernetesClient, server: Server) -> None:
    async def closed() -> None:
        raise Temporary("held")

    for change in (
        cluster.patch(WEB, {}, gate=closed),
        cluster.create(WEB, {}, closed),
        cluster.delete(WEB, {}, closed),
    ):
        with pytest.raises(Temporary, match="held"):
            await change
    assert server.seen == []


# --- what is made of the answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(409, "Conflict", "the object has been modified"), Temporary),
        (status(409, "AlreadyExists", "already exists"), Permanent),
        (status(429, "TooManyRequests", "slow down"), Temporary),
        (status(403, "Forbidden", "cannot patch"), Permanent),
        (status(404, "NotFound", "not found"), Permanent),
        (status(422, "Invalid", "is invalid"), Permanent),
        (status(415, "UnsupportedMediaType", "wrong type"), Permanent),
        (status(401, "Unauthorized", "Unauthorized"), Permanent),
        (status(500, "InternalError", "oh"), Uncertain),
        (status(504, "Timeout", "oh"), Uncertain),
        ((302, {}), Permanent),
        ((200, []), Uncertain),
    ],
)
async def test_an_answer_to_a_change_says_whether_it_happened(
    cluster: KubernetesClient, server: Server, answer: tuple[int, JsonValue], error: type[StepError]
) -> None:
    server.answers = [answer]
    with pytest.raises(StepError) as raised:
        await cluster.patch(WEB, {})
    assert isinstance(raised.value, error)
    if isinstance(answer[1], dict) and answer[1]:
        assert str(answer[1]["message"]) in str(raised.value)


@pytest.mark.parametrize("code", [500, 503, 429, 409])
async def test_what_cannot_be_read_now_is_read_later(cluster: KubernetesClient, server: Server, code: int) -> None:
    server.answers, server.headers = [status(code, "", "no")], {"Retry-After": "3"}
    with pytest.raises(Temporary) as raised:
        await cluster.get(WEB)
    assert raised.value.retry_after == timedelta(seconds=3)


async def test_a_connection_that_breaks_is_in_doubt_only_for_a_change(
    cluster: KubernetesClient, server: Server
) -> None:
    server.fault = "cut"
    with pytest.raises(Temporary):
        await cluster.get(WEB)
    for change in (cluster.patch(WEB, {}), cluster.create(WEB, {}), cluster.delete(WEB, {})):
        seen = len(server.seen)
        with pytest.raises(Uncertain):
            await change
        assert len(server.seen) == seen + 1


async def test_nobody_there_is_certainly_not_applied(tmp_path: Path) -> None:
    async with client(tmp_path / "kubeconfig", f"http://127.0.0.1:{free_port()}") as one:
        with pytest.raises(Temporary, match="cannot be reached"):
            await one.patch(WEB, {})


async def test_a_server_that_hangs_is_given_up(tmp_path: Path) -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        await request.read()
        await request.loop.create_future()
        raise AssertionError

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", hang)
    async with serving(app) as url, client(tmp_path / "kubeconfig", url, seconds=0.5) as one:
        with pytest.raises(Uncertain):
            await one.patch(WEB, {})


async def test_only_an_object_that_the_api_missed_itself_is_gone(cluster: KubernetesClient, server: Server) -> None:
    server.answers = [status(404, "NotFound", 'deployments.apps "web" not found', name="web")]
    assert await cluster.find(WEB) is None
    for other in (
        status(404, "NotFound", "the server could not find the requested resource"),
        status(404, "NotFound", 'namespaces "shop" not found', name="shop"),
        (404, "404 page not found"),
    ):
        server.answers = [other]
        with pytest.raises(Permanent):
            await cluster.find(WEB)


async def test_a_disruption_budget_is_named(cluster: KubernetesClient, server: Server) -> None:
    cause: dict[str, JsonValue] = {
        "reason": "DisruptionBudget",
        "message": "The disruption budget web needs 3 healthy pods",
    }
    server.answers = [status(429, "TooManyRequests", "Cannot evict pod.", causes=[cause])]
    with pytest.raises(Temporary, match="The disruption budget web needs 3"):
        await cluster.create("/api/v1/namespaces/shop/pods/a/eviction", {})


# --- credentials ----------------------------------------------------------------------------------------------------


async def test_credentials_that_expired_are_read_again(
    cluster: KubernetesClient, server: Server, tmp_path: Path
) -> None:
    await cluster.get(WEB)
    url = str(server.seen[0].url.origin())
    kubeconfig(tmp_path / "kubeconfig", url, {"token": "the-next"})
    server.answers = [status(401, "Unauthorized", "Unauthorized"), (200, {"kind": "Deployment"})]
    await cluster.patch(WEB, {})
    assert [one.headers["Authorization"] for one in server.seen[-2:]] == [f"Bearer {TOKEN}", "Bearer the-next"]


@pytest.mark.promise(19)
async def test_a_token_that_is_echoed_is_not_shown(
    cluster: KubernetesClient, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers = [(403, {"message": f"no Bearer {TOKEN} here"})]
    with pytest.raises(Permanent) as raised:
        await cluster.get(WEB)
    assert TOKEN not in f"{raised.value!r} {cluster!r} {caplog.text}"


@pytest.mark.parametrize("text", ["", "{}", "a: [", "current-context: nobody"])
async def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(Permanent, match=r"kubernetes.clusters.prod-eu: the kubeconfig .* cannot be used"):
        await KubernetesClient("prod-eu", path).get(WEB)
    with pytest.raises(Permanent, match="no such file"):
        await KubernetesClient("prod-eu", tmp_path / "none").get(WEB)


async def test_a_plugin_gives_the_credentials(server: Server, cluster: KubernetesClient, tmp_path: Path) -> None:
    given = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "of-exec"}}
    plugin: dict[str, JsonValue] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "echo",
            "args": [json.dumps(given)],
            "interactiveMode": "Never",
        }
    }
    await cluster.get(WEB)
    path = kubeconfig(tmp_path / "other", str(server.seen[0].url.origin()), plugin)
    other = KubernetesClient("prod-eu", path)
    await other.get(WEB)
    await other.close()
    assert server.seen[-1].headers["Authorization"] == "Bearer of-exec"


# --- what it costs --------------------------------------------------------------------------------------------------

COST = """\
import asyncio, sys, time
from pathlib import Path
from responder.clients.toolbox import ClusterSpec, Toolbox

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

async def main():
    box = Toolbox({}, {}, clusters={"eu": ClusterSpec(Path(sys.argv[1]))})
    cluster = box.cluster("eu")
    assert "kubernetes_asyncio" not in sys.modules
    import aiohttp
    before, started = resident(), time.process_time()
    try:
        await cluster.get("/api")
    except Exception as error:
        assert "cannot be reached" in str(error), error
    print(time.process_time() - started, resident() - before)
    await box.close()

asyncio.run(main())
"""


def test_the_first_use_costs_half_a_second_and_60_mb_at_the_most(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{free_port()}")
    done = subprocess.run([sys.executable, "-c", COST, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seconds, megabytes = map(float, done.stdout.split())
    assert seconds <= 1.0  # of processor time: half a second on a machine with nothing else to do
    assert megabytes <= 60
