"""A stand-in for a running responder's API, and the command line pointed at it."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from typer.testing import CliRunner, Result

from responder.cli.app import app

TOKEN = "planted-token-of-the-oncall"
Json = dict[str, object]


@dataclass
class Peer:
    """Answers what a test put into it; keeps what was asked."""

    url: str = ""
    answers: dict[tuple[str, str], Json | list[Json]] = field(default_factory=dict)
    status: dict[str, tuple[int, Json]] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], Json]] = field(default_factory=list)
    page: int = 2

    def lists(self, kind: str, rows: list[Json]) -> None:
        """Let ``GET /api/v1/{kind}`` list ``rows``, a few a page."""
        self.answers["GET", kind] = rows

    def of(self, method: str) -> list[tuple[str, Json]]:
        """Return path and body of what was asked by ``method``."""
        return [(path, body) for asked, path, _, body in self.asked if asked == method]


def _handler(peer: Peer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            parts = urlsplit(self.path)
            path, query = parts.path.removeprefix("/api/v1/"), dict(parse_qsl(parts.query))
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            peer.asked.append((self.command, path, query, body))
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._send(401, {"error": "who are you?", "hint": "send a token"})
            elif path in peer.status:
                self._send(*peer.status[path])
            elif (self.command, path) in peer.answers:
                found = peer.answers[self.command, path]
                self._send(200, _paged(found, query, peer.page) if isinstance(found, list) else found)
            else:
                self._send(404, {"error": f"nothing at {path}"})

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names that http.server calls

        def _send(self, status: int, body: Json) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Say nothing."""

    return Handler


def _paged(rows: list[Json], query: dict[str, str], size: int) -> Json:
    filters = {name: value for name, value in query.items() if name not in ("limit", "cursor")}
    fitting = [row for row in rows if all(str(row.get(name)) == value for name, value in filters.items())]
    start, limit = int(query.get("cursor") or 0), min(int(query.get("limit", size)), size)
    following = start + limit
    return {"items": fitting[start:following], "next": str(following) if following < len(fitting) else None}


@pytest.fixture
def peer() -> Iterator[Peer]:
    """Give a stand-in for the API that wants ``TOKEN``."""
    running = Peer()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(running)) as server:
        running.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        server.shutdown()
        thread.join()


Responder = Callable[..., Result]


@pytest.fixture
def responder(peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Responder:
    """Give the command line, with the address and the token in its environment."""
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    monkeypatch.setenv("RESPONDER_URL", peer.url)
    monkeypatch.setenv("RESPONDER_TOKEN_FILE", str(token))
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return run


RUN: Json = {
    "id": "abcdefgh-12345678",
    "created_at": "2026-01-05T12:00:05Z",
    "started_at": "2026-01-05T12:00:06Z",
    "finished_at": None,
    "state": "awaiting_approval",
    "playbook": "shrink",
    "target": "http/checkout/workers",
    "mode": "approve",
    "incident": "incident-1",
    "verdict": None,
    "reason": "",
    "steps": [
        {
            "id": "shrink",
            "action": "http.request",
            "state": "planned",
            "before": {"workers": 6},
            "after": {"workers": 4},
        }
    ],
}


@pytest.fixture
def run_row() -> Json:
    """Give a run that waits for approval."""
    return dict(RUN)


@pytest.fixture(scope="session")
def postgres_template() -> str:
    """Give empty databases: what a command line meets may not be migrated yet."""
    return "template1"
