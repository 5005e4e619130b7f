"""``responder doctor``: a line for each thing; 0 all well, 1 something to mend, 2 no usable configuration."""

import asyncio
import fcntl
import shutil
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from responder.cli.doctor import run_doctor

PLAYBOOK = """\
schema: 1
name: look
summary: Look at it.
matchers:
  - alertname="Slow"
docs:
  by_hand: Look.
"""
ACTING = """\
schema: 1
name: act
summary: Do it.
mode: auto
matchers:
  - alertname="Slow"
target: http/shop
steps:
  - http.request:
      service: shop
      read: GET /a
      send: PUT /a
      json:
        a: 1
verify:
  - name: a
    probe: http.get
    with:
      service: shop
      path: /a
      pointer: /a
    equals: 1
"""


class Outside:
    """A server that answers as Prometheus, Alertmanager and Slack do, until a test says otherwise."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object]] = {
            "/-/ready": (200, "Prometheus Server is Ready."),
            "/api/v2/status": (200, {"versionInfo": {"version": "0.33.1"}}),
            "/api/auth.test": (200, {"ok": True, "user": "responder", "team": "Shop"}),
        }
        self.authorization: list[str] = []
        self.scopes = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.authorization.append(request.headers.get("Authorization", ""))
        status, body = self.answers.get(request.path, (404, {}))
        headers = {"Location": "/elsewhere"} if status == 302 else {"X-OAuth-Scopes": self.scopes}
        return web.json_response(body, status=status, headers=headers)


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
async def url(outside: Outside) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", outside.handle)
    server = TestServer(app)
    await server.start_server()
    yield str(server.make_url("")).rstrip("/")
    await server.close()


@dataclass(frozen=True, slots=True)
class World:
    """A folder with a configuration, and what is outside of it."""

    folder: Path
    url: str
    outside: Outside


@pytest.fixture
def world(folder: Path, url: str, outside: Outside) -> World:
    return World(folder, url, outside)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "look.yaml").write_text(PLAYBOOK)
    return tmp_path


def configure(folder: Path, text: str = "") -> Path:
    """Write the configuration and a token that only its owner reads."""
    file = folder / "responder.yml"
    file.write_text(f"playbooks: [ playbooks/ ]\n{text}")
    token = folder / "secret.token"
    token.write_text("planted-secret-token")
    token.chmod(0o600)
    return file


async def test_all_well_exits_0_with_a_tick_for_each(
    folder: Path, url: str, outside: Outside, capsys: pytest.CaptureFixture[str]
) -> None:
    file = configure(
        folder,
        f"prometheus: {{ default: {{ url: {url} }} }}\n"
        f"sources: {{ am: {{ authorization: {{ credentials_file: secret.token }}, api_url: {url} }} }}\n"
        f'connections: {{ http: {{ shop: {{ url: "{url}", allow: [ "GET /*" ] }} }} }}\n'
        f"notify: {{ slack: {{ token_file: secret.token, api_url: {url}/api/ }} }}\n",
    )
    assert await run_doctor(file) == 0
    said = capsys.readouterr().out
    for line in (
        f"✔ configuration: {file}",
        "✔ playbooks: 1 loaded, 0 of them may act",
        "✔ prometheus default: ready",
        "✔ source am: its API answers, version 0.33.1",
        "✔ slack: responder in Shop",
    ):
        assert line in said.splitlines()
    assert "✔ connection http/shop: 127.0.0.1:" in said
    assert "Bearer planted-secret-token" in outside.authorization
    assert "planted-secret-token" not in said


async def test_prometheus_is_asked_whether_it_understands_the_queries(
    folder: Path, url: str, outside: Outside, capsys: pytest.CaptureFixture[str]
) -> None:
    asking = "when:\n  - name: load\n    query: sum(load)\n    above: 1\n"
    (folder / "playbooks" / "look.yaml").write_text(PLAYBOOK + asking)
    outside.answers["/api/v1/query"] = (200, {"status": "success", "data": {"resultType": "vector", "result": []}})
    file = configure(folder, f"prometheus: {{ default: {{ url: {url} }} }}\n")
    assert await run_doctor(file) == 0
    assert (
        "✔ prometheus default: it understands all queries of the playbooks that it can be asked: 1"
        in capsys.readouterr().out
    )
    outside.answers["/api/v1/query"] = (400, {"status": "error", "error": "1:5: parse error: no such function"})
    assert await run_doctor(file) == 1
    said = capsys.readouterr().out
    assert f"✘ prometheus default: it refuses a query of {folder}/playbooks/look.yaml: 1:5: parse error" in said


async def test_what_cannot_be_asked_is_said_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asking = "when:\n  - name: load\n    query: sum(load)\n    above: 1\n"
    (folder / "playbooks" / "look.yaml").write_text(PLAYBOOK + asking)
    assert await run_doctor(configure(folder, "prometheus: { default: { url: 'http://127.0.0.1:1' } }\n")) == 1
    assert capsys.readouterr().out.count("prometheus default") == 1


async def test_a_wrong_configuration_exits_2_with_its_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run_doctor(configure(folder, "max_mod: auto\n")) == 2
    assert "responder.yml:2:1" in capsys.readouterr().out


async def test_a_missing_configuration_exits_2(folder: Path) -> None:
    assert await run_doctor(folder / "nowhere.yml") == 2


async def test_a_wrong_playbook_is_named_with_its_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "playbooks" / "wrong.yaml").write_text(PLAYBOOK.replace("summary:", "sumary:").replace("look", "other"))
    assert await run_doctor(configure(folder)) == 1
    assert "wrong.yaml:3:1" in capsys.readouterr().out


async def test_a_question_to_prometheus_needs_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asking = "when:\n  - name: load\n    query: sum(load)\n    above: 1\n"
    (folder / "playbooks" / "look.yaml").write_text(PLAYBOOK + asking)
    assert await run_doctor(configure(folder)) == 1
    assert f"✘ prometheus: none is configured, and {folder}/playbooks/look.yaml asks one" in capsys.readouterr().out


async def test_a_playbook_that_acts_needs_somebody_to_page(
    folder: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "playbooks" / "act.yaml").write_text(ACTING)
    file = configure(
        folder, f'connections: {{ http: {{ shop: {{ url: "{url}", allow: [ "GET /*", "PUT /a" ] }} }} }}\n'
    )
    assert await run_doctor(file) == 1
    assert "nobody is told when a person is needed" in capsys.readouterr().out


async def test_a_token_that_everybody_reads_is_to_be_mended(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = configure(folder, "sources: { am: { authorization: { credentials_file: secret.token } } }\n")
    (folder / "secret.token").chmod(0o644)
    assert await run_doctor(file) == 1
    assert "✘ secrets" in capsys.readouterr().out


async def test_what_cannot_be_reached_is_said_without_a_secret(
    folder: Path, unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    file = configure(
        folder,
        f"prometheus: {{ default: {{ url: {url} }} }}\n"
        f'connections: {{ http: {{ shop: {{ url: "{url}", allow: [ "GET /*" ] }} }} }}\n'
        f"notify: {{ slack: {{ token_file: secret.token, api_url: {url}/api/ }} }}\n",
    )
    assert await run_doctor(file) == 1
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines() if line.startswith("✘")] == [
        "✘ prometheus default",
        "✘ connection http/shop",
        "✘ slack",
    ]
    assert "planted-secret-token" not in said


async def test_a_redirect_is_not_followed(
    folder: Path, url: str, outside: Outside, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.answers["/-/ready"] = (302, {})
    assert await run_doctor(configure(folder, f"prometheus: {{ default: {{ url: {url} }} }}\n")) == 1
    assert "✘ prometheus default: answered 302" in capsys.readouterr().out
    assert len(outside.authorization) == 1


@pytest.mark.parametrize(
    ("scopes", "more", "says"),
    [
        ("chat:write,files:write", "", "✔ slack: responder in Shop"),
        ("chat:write", "", "! slack: responder in Shop; messages have no charts below them: add the scope files:write"),
        ("chat:write", ", pictures: false", "✔ slack: responder in Shop"),
        ("channels:history", "", "✘ slack: responder in Shop may post nothing: add the scope chat:write"),
    ],
)
async def test_what_slack_does_not_let_the_app_do_is_told(
    world: World, scopes: str, more: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.outside.scopes = scopes
    slack = f"{{ token_file: secret.token, api_url: {world.url}/api/{more} }}"
    file = configure(world.folder, f"notify: {{ slack: {slack} }}\n")
    assert await run_doctor(file) == says.startswith("✘")
    assert any(line.startswith(says) for line in capsys.readouterr().out.splitlines())


async def test_slack_refusing_the_token_is_told_in_slacks_words(
    folder: Path, url: str, outside: Outside, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.answers["/api/auth.test"] = (200, {"ok": False, "error": "invalid_auth"})
    file = configure(folder, f"notify: {{ slack: {{ token_file: secret.token, api_url: {url}/api/ }} }}\n")
    assert await run_doctor(file) == 1
    assert "invalid_auth" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [((200, "ready"), 0, " is ready"), ((503, "not ready: the disk is full"), 1, "answers 503 to /-/ready")],
)
async def test_a_running_responder_is_asked_whether_it_is_ready(
    folder: Path,
    url: str,
    outside: Outside,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    answer: tuple[int, object],
    code: int,
    says: str,
) -> None:
    monkeypatch.setenv("RESPONDER_URL", url)
    outside.answers["/-/ready"] = answer
    with (folder / "responder.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert await run_doctor(configure(folder)) == code
    assert says in capsys.readouterr().out


async def test_a_store_in_use_is_well_and_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("RESPONDER_URL", f"http://127.0.0.1:{unused_tcp_port}")
    with (folder / "responder.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("process 4711\n")
        lock.flush()
        assert await run_doctor(configure(folder)) == 0
    said = capsys.readouterr().out
    assert "in use by process 4711" in said
    assert "! responder: nobody can be asked at 127.0.0.1:" in said
    assert not (folder / "responder.db").exists()


async def test_a_store_at_rest_shows_its_schema(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(folder / "responder.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('0007')")
    connection.close()
    assert await run_doctor(configure(folder)) == 0
    assert "schema 0007" in capsys.readouterr().out


async def test_a_store_that_is_no_database_is_to_be_mended(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "responder.db").write_text("not a database, but long enough to have a header " * 9)
    assert await run_doctor(configure(folder)) == 1
    assert "✘ store" in capsys.readouterr().out


GIB = 2**30


@pytest.mark.parametrize(
    ("disk", "code", "says"),
    [
        ((99 * 2**20, 10 * GIB), 1, "✘ disk: {folder} has 99 MiB free, 1% of 10.0 GiB; a full disk"),
        ((900 * 2**20, 4 * GIB), 0, "! disk: {folder} has 900 MiB free, 22% of 4.0 GiB; make room"),
        ((4 * GIB, 100 * GIB), 0, "! disk: {folder} has 4.0 GiB free, 4% of 100.0 GiB; make room"),
        ((50 * GIB, 100 * GIB), 0, "✔ disk: {folder} has 50.0 GiB free, 50% of 100.0 GiB"),
    ],
)
async def test_a_disk_that_fills_up_is_told_in_time(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    disk: tuple[int, int],
    code: int,
    says: str,
) -> None:
    free, total = disk
    usage = shutil._ntuple_diskusage(total, total - free, free)  # what disk_usage returns
    monkeypatch.setattr("responder.cli.doctor_store.shutil.disk_usage", lambda _: usage)
    assert await run_doctor(configure(folder)) == code
    assert says.format(folder=folder) in capsys.readouterr().out


@pytest.mark.parametrize("there", [True, False])
async def test_a_folder_that_cannot_be_written_to_is_to_be_mended(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    (folder / "data").mkdir()
    if there:
        with sqlite3.connect(folder / "data" / "r.db") as connection:
            connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.close()
    # As os.access says of a read-only folder; the tests may run as root, whom nothing stops.
    monkeypatch.setattr("responder.cli.doctor_store.os.access", lambda path, _: Path(path) != folder / "data")
    assert await run_doctor(configure(folder, f"store: sqlite:///{folder}/data/r.db\n")) == 1
    assert f"data/r.db: the folder {folder / 'data'} is not writable for this user" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ('{"offset": 0, "jumped_at": null}', "✔ clock: as its source says"),
        ('{"offset": -3600000000, "jumped_at": 1767614400000000}', "! clock: its source has jumped, and -3600 s"),
        ("?", "! clock: what the store keeps of its clock cannot be read"),
    ],
)
async def test_what_the_clock_has_jumped_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], mark: str, says: str
) -> None:
    with sqlite3.connect(folder / "r.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("CREATE TABLE meta (key TEXT, value TEXT)")
        connection.execute("INSERT INTO meta VALUES ('clock', ?)", [mark])
    connection.close()
    assert await run_doctor(configure(folder, f"store: sqlite:///{folder}/r.db\n")) == 0
    assert says in capsys.readouterr().out


async def test_postgresql_says_how_safe_a_commit_is(
    folder: Path, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await run_doctor(configure(folder, f"store: {postgres_url}\n"))
    said = capsys.readouterr().out
    assert code == 0, said
    assert "✔ store: PostgreSQL" in said
    assert "! durability: synchronous_commit is off here" in said


async def test_a_postgresql_that_is_down_is_to_be_mended(
    folder: Path, unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"postgresql://responder:planted-secret-token@127.0.0.1:{unused_tcp_port}/responder"
    assert await asyncio.wait_for(run_doctor(configure(folder, f"store: {url}\n")), 20) == 1
    said = capsys.readouterr().out
    assert "✘ store: PostgreSQL 127.0.0.1:" in said
    assert "planted-secret-token" not in said
