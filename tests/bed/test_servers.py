"""The real servers start, answer, are apart per test and can be crashed."""

import asyncio
import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
import redis
from aiohttp import web

from tests.bed.postgres import Postgres
from tests.bed.processes import ServerError, free_port, private_directory, start
from tests.bed.servers import Alertmanager, Prometheus, Redis, alertmanager_config, missing
from tests.bed.waiting import NeverHappened, eventually
from tests.bed.web import JsonObject, serving
from tests.process_bed import ROOT


async def test_each_test_has_a_database_of_its_own(postgres: Postgres, postgres_url: str) -> None:
    other = postgres.database()
    for url in (postgres_url, other):
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE thing (id int)")
        await connection.close()
    postgres.drop(other)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(other)


async def test_a_template_is_prepared_once_and_copied(postgres: Postgres) -> None:
    prepared: list[str] = []

    def prepare(url: str) -> None:
        prepared.append(url)
        postgres.execute("CREATE TABLE thing (id int)", "INSERT INTO thing VALUES (7)", url=url)

    urls = [postgres.database(postgres.template("thing", prepare)) for _ in range(2)]
    for url in urls:
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT id FROM thing") == 7
        await connection.close()
    assert len(prepared) == 1


async def test_a_durable_postgres_keeps_commits_over_a_crash(
    durable_postgres: Postgres, durable_postgres_url: str
) -> None:
    assert durable_postgres.server is not None
    connection = await asyncpg.connect(durable_postgres_url)
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.execute("CREATE TABLE thing (id int)")
    await connection.execute("INSERT INTO thing VALUES (7)")
    durable_postgres.server.crash()
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await connection.fetchval("SELECT 1")
    durable_postgres.server.start()
    connection = await asyncpg.connect(durable_postgres_url)
    assert await connection.fetchval("SELECT id FROM thing") == 7
    await connection.close()


@pytest.mark.parametrize("round_", [1, 2])
def test_redis_is_empty_for_each_test(redis_url: str, round_: int) -> None:
    with redis.Redis.from_url(redis_url) as connection:
        assert connection.dbsize() == 0
        connection.set("left", "behind")


def test_a_paused_server_hangs_and_comes_back(redis_server: Redis, redis_url: str) -> None:
    if redis_server.child is None:
        pytest.skip("only our own server can be paused")
    redis_server.child.pause()
    try:
        with redis.Redis.from_url(redis_url, socket_timeout=0.2, retry=None) as hung, pytest.raises(redis.TimeoutError):
            hung.ping()
    finally:
        redis_server.child.resume()
    with redis.Redis.from_url(redis_url) as connection:
        assert connection.ping()


class Inbox:
    """A webhook receiver that keeps what it got."""

    def __init__(self) -> None:
        self.bodies: list[JsonObject] = []
        self.app = web.Application()
        self.app.router.add_post("/webhook", self.take)

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        return web.Response()

    def statuses(self) -> list[str]:
        return [body["status"] for body in self.bodies]


async def test_alertmanager_notifies_almost_at_once(alertmanager: Alertmanager) -> None:
    inbox = Inbox()
    async with serving(inbox.app) as url:
        alertmanager.configure(alertmanager_config(f"{url}/webhook"))
        await asyncio.to_thread(alertmanager.post, [{"labels": {"alertname": "Direct"}}])
        bodies = await eventually(lambda: inbox.bodies, within=timedelta(seconds=5))
    assert bodies[0]["commonLabels"] == {"alertname": "Direct"}
    assert bodies[0]["version"] == "4"


async def test_a_metric_that_rises_and_falls_fires_and_resolves(
    prometheus: Prometheus, alertmanager: Alertmanager
) -> None:
    inbox, level = Inbox(), 1

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=f"bed_level {level}\n")

    inbox.app.router.add_get("/metrics", metrics)
    rule = {"alert": "BedLevelHigh", "expr": "bed_level > 0.5", "labels": {"severity": "critical"}}
    async with serving(inbox.app) as url:
        alertmanager.configure(alertmanager_config(f"{url}/webhook"))
        prometheus.configure({"bed-level": url}, [rule])
        await eventually(lambda: "firing" in inbox.statuses(), within=timedelta(seconds=20))
        level = 0
        await eventually(lambda: "resolved" in inbox.statuses(), within=timedelta(seconds=20))
    assert inbox.bodies[0]["alerts"][0]["labels"]["job"] == "bed-level"


def test_a_wrong_configuration_is_reported_with_the_servers_words(alertmanager: Alertmanager) -> None:
    with pytest.raises(ServerError, match="undefined receiver"):
        alertmanager.configure({"route": {"receiver": "ghost"}, "receivers": []})


def test_a_child_that_dies_early_shows_what_it_wrote() -> None:
    with private_directory("early") as directory:
        child = start("early", [sys.executable, "-c", "raise SystemExit('no luck')"], directory=directory)
        with pytest.raises(ServerError, match="no luck"):
            child.wait_for_port(free_port())


def test_children_die_with_the_process_that_started_them() -> None:
    program = (
        "import sys, time; from pathlib import Path; from tests.bed.processes import start;"
        "print(start('sleeper', ['sleep', '60'], directory=Path(sys.argv[1])).pid, flush=True); time.sleep(60)"
    )
    with private_directory("orphan") as directory:
        parent = subprocess.Popen([sys.executable, "-c", program, directory], stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        with parent.stdout:
            child = parent.stdout.readline().strip()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        status = f"/proc/{child}/status"
        asyncio.run(_gone(status))


async def _gone(status: str) -> None:
    def gone() -> bool:
        try:
            with open(status) as lines:  # noqa: PTH123 -- a file of the kernel that may vanish while being read
                return "State:\tZ" in lines.read()
        except (FileNotFoundError, ProcessLookupError):
            return True

    await eventually(gone, within=timedelta(seconds=5))


async def test_waiting_in_vain_tells_what_was_seen_last() -> None:
    with pytest.raises(NeverHappened, match="last seen: 0"):
        await eventually(lambda: 0, within=timedelta(milliseconds=30))


def test_a_missing_server_is_a_skip_on_a_laptop_and_a_failure_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception):
        missing("a server")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        missing("a server")


def test_a_port_is_no_other_processes_while_what_listened_there_is_dead() -> None:
    ask = f"from tests.bed.processes import _hold; print(_hold({free_port()}))"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_server_that_is_missing_is_installed_whatever_our_folders_are_called(tmp_path: Path) -> None:
    for name in ("cat", "env", "id", "mktemp", "rm", "tail"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    (tmp_path / "apt-get").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "apt-get").chmod(0o755)
    command = [ROOT / "scripts" / "servers"]
    said = subprocess.run(command, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    for package in ("redis-server", "prometheus-alertmanager", "faketime"):
        assert f" {package}" in said.stdout
