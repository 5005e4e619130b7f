"""Health, readiness, reloading and metrics, as people know them from Prometheus."""

import asyncio
import time
from pathlib import Path

import bcrypt
import pytest

from responder.domain.errors import Unavailable
from responder.domain.suspicion import Suspicion
from responder.web import health
from responder.web.health import Readiness
from tests.unit.web.conftest import ADMIN, OPERATOR, VIEWER, Bed, Call, raw


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_healthy_is_always_200(call: Call, method: str) -> None:
    answer = await call(method, "/-/healthy")
    assert (answer.status, answer.text) == (200, "OK\n" if method == "GET" else "")


async def test_a_clock_that_is_not_trusted_is_told(call: Call, bed: Bed) -> None:
    assert (await call("GET", "/api/v1/status", token=VIEWER)).json["clock"] == {"suspect": False}
    now = bed.store.now()
    bed.suspicion = Suspicion(now, now, "It jumped.")
    answer = await call("GET", "/-/ready")
    assert (answer.status, answer.text) == (200, "ready\nthe store's clock is suspect: It jumped.\n")
    clock = (await call("GET", "/api/v1/status", token=VIEWER)).json["clock"]
    assert (clock["suspect"], clock["why"]) == (True, "It jumped.")


async def test_ready_says_why_not(call: Call, bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "KEPT_SECONDS", 0.0)
    assert (await call("GET", "/-/ready")).status == 200
    bed.not_ready = "no playbook folder"
    answer = await call("GET", "/-/ready")
    assert (answer.status, answer.text) == (503, "not ready: no playbook folder\n")
    bed.store_error = Unavailable("connection refused")
    answer = await call("GET", "/-/ready")
    assert (answer.status, answer.text) == (503, "not ready: connection refused\n")


async def test_whoever_asks_whether_it_is_ready_asks_the_store_once_a_second(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go = 0, asyncio.Event()

    async def ask() -> str:
        nonlocal asked
        asked += 1
        await go.wait()
        return bed.not_ready

    readiness = Readiness(ask)
    waiting = [asyncio.create_task(readiness.why_not()) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # who asked first does not take the answer from the others
    await asyncio.sleep(0)
    go.set()
    assert (set(await asyncio.gather(*waiting[1:])), asked) == ({""}, 1)
    bed.not_ready = "no disk"
    assert (await readiness.why_not(), asked) == ("", 1)
    now = time.monotonic()
    monkeypatch.setattr("responder.web.health.time.monotonic", lambda: now + 1.1)
    assert (await readiness.why_not(), asked) == ("no disk", 2)


async def test_a_store_that_hangs_is_not_ready_and_is_asked_by_one(
    bed: Bed, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "READY_SECONDS", 0.2)
    bed.hangs = asyncio.Event()
    answers = await asyncio.gather(*(call("GET", "/-/ready") for _ in range(20)))
    assert {(one.status, one.text) for one in answers} == {(503, "not ready: the store does not answer in time\n")}
    assert bed.pings == 1


async def test_reloading_takes_a_post_of_an_admin(call: Call, bed: Bed) -> None:
    assert (await call("GET", "/-/reload", token=ADMIN)).status == 405
    assert (await call("POST", "/-/reload")).status == 401
    assert (await call("POST", "/-/reload", token=OPERATOR)).status == 403
    assert bed.reloads == 0
    assert (await call("POST", "/-/reload", token=ADMIN)).status == 200
    assert bed.reloads == 1


async def test_a_bad_reload_says_what_is_wrong(call: Call, bed: Bed) -> None:
    bed.reload_error = "responder.yml:1:1: error: unknown key"
    answer = await call("POST", "/-/reload", token=ADMIN)
    assert (answer.status, "stays in force: responder.yml:1:1" in answer.text) == (500, True)


async def test_a_reload_names_the_playbooks_that_were_not_taken_over(call: Call, bed: Bed) -> None:
    assert (await call("POST", "/-/reload", token=ADMIN)).text == "reloaded\n"
    bed.broken = ("restart.yaml", "new.yaml", "new.yaml")
    answer = await call("POST", "/-/reload", token=ADMIN)
    assert (answer.status, answer.text.splitlines()) == (
        200,
        [
            "reloaded",
            "restart.yaml: 1 error(s), its last good version stays in use; see: responder check restart.yaml",
            "new.yaml: 2 error(s), it is not in use; see: responder check new.yaml",
        ],
    )


async def test_a_reload_names_a_folder_of_playbooks_that_is_gone(call: Call, bed: Bed, tmp_path: Path) -> None:
    bed.broken, bed.stale = (str(tmp_path / "gone"),), (str(tmp_path / "gone" / "restart.yaml"),)
    answer = await call("POST", "/-/reload", token=ADMIN)
    assert f"{tmp_path / 'gone'}: 1 error(s), what was read below it before stays in use" in answer.text


async def test_metrics_have_the_type_that_prometheus_reads(call: Call) -> None:
    answer = await call("GET", "/metrics")
    assert (answer.text, answer.headers["Content-Type"]) == ("up 1\n", "text/plain; version=0.0.4; charset=utf-8")


async def test_requests_are_counted_by_route_and_not_by_path(call: Call, bed: Bed) -> None:
    await call("GET", "/-/healthy")
    await call("POST", "/webhook/whatever")
    await call("GET", "/wp-login.php")
    assert [one["handler"] for one in bed.of("http_request")] == ["/-/healthy", "/webhook/{source}", "(none)"]


async def test_users_of_the_web_config_have_roles_and_everything_else_is_closed(bed: Bed, tmp_path: Path) -> None:
    hashed = bcrypt.hashpw(b"pass", bcrypt.gensalt(4)).decode()
    (tmp_path / "web.yml").write_text(
        f"basic_auth_users: {{ prom: '{hashed}', ana: '{hashed}' }}\n"
        "http_server_config: { headers: { Strict-Transport-Security: max-age=1 } }\n"
    )
    bed.web_config = tmp_path / "web.yml"
    prom, ana, wrong = "cHJvbTpwYXNz", "YW5hOnBhc3M=", "cHJvbTp3cm9uZw=="
    async with bed.serving() as port:

        async def ask(method: str, path: str, credentials: str = "") -> bytes:
            sent = f"Authorization: Basic {credentials}\r\n" if credentials else ""
            length = "Content-Length: 0\r\n"
            return await raw(
                port, f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{length}{sent}\r\n".encode()
            )

        refused = await ask("GET", "/metrics")
        assert refused.startswith(b"HTTP/1.1 401")
        assert b'WWW-Authenticate: Bearer realm="responder", Basic realm="responder"' in refused
        assert (await ask("GET", "/metrics", wrong)).startswith(b"HTTP/1.1 401")
        answer = await ask("GET", "/metrics", prom)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"Strict-Transport-Security: max-age=1" in answer
        assert (await ask("GET", "/metrics", prom)).startswith(b"HTTP/1.1 200")
        assert (await ask("POST", "/api/v1/pauses", prom)).startswith(b"HTTP/1.1 403")
        assert (await ask("POST", "/api/v1/pauses", ana)).startswith(b"HTTP/1.1 200")
        assert (await ask("GET", "/-/healthy")).startswith(b"HTTP/1.1 200")
