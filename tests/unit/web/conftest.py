"""A web server over a real store in a file, and callers for it."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import JsonValue

from responder.domain.errors import StoreError
from responder.domain.runs import Run
from responder.domain.suspicion import Suspicion
from responder.intake.buffer import ByteBudget, CommittingBuffer
from responder.ports.store import Inbox, NewDelivery
from responder.settings import Settings, load_settings
from responder.stores.core.store import SqlStore
from responder.stores.registry import open_store
from responder.web.application import make_application
from responder.web.parts import Bounds, JsonObject, Parts
from responder.web.server import WebServer
from responder.web.web_config import WebConfigFile
from tests.bed.stores import embedded

AM_TOKEN = "planted-alertmanager-token"
VIEWER, OPERATOR, ADMIN = "planted-viewer-token", "planted-operator-token", "planted-admin-token"
HMAC_SECRET = "planted-hmac-secret"
SETTINGS = f"""\
sources:
  am: {{ authorization: {{ credentials: {AM_TOKEN} }} }}
  custom: {{ authorization: {{ type: Token, credentials: {AM_TOKEN} }} }}
  basic: {{ basic_auth: {{ username: u, password: p w }} }}
  grafana: {{ kind: grafana, hmac: {{ secret: {HMAC_SECRET} }} }}
  stamped: {{ kind: grafana, hmac: {{ secret: {HMAC_SECRET}, timestamp_header: X-Stamp }} }}
  mtls: {{ client_certificate: true }}
access:
  tokens:
    - {{ name: eve, role: viewer, token: {VIEWER} }}
    - {{ name: olga, role: operator, token: {OPERATOR} }}
    - {{ name: ada, role: admin, token: {ADMIN} }}
  users: {{ prom: viewer, ana: operator }}
"""
CANDIDATES: dict[str, list[JsonValue]] = {
    "HighLatency": [{"playbook": "restart", "mode": "auto"}, {"playbook": "scale", "mode": "observe"}]
}
"""Which playbooks fit, by the alert's name."""
PLANTED = (AM_TOKEN, VIEWER, OPERATOR, ADMIN, HMAC_SECRET, "p w")


class FailingInbox:
    """Passes on to a store, or fails as told."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.error: Exception | None = None

    async def accept(self, deliveries: "list[NewDelivery]") -> "list[Exception | None]":
        if self.error is not None:
            raise self.error
        return list(await self.inbox.accept(deliveries))


@dataclass
class Bed:
    """What a test turns."""

    settings: Settings
    store: SqlStore
    inbox: FailingInbox
    facts: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    not_ready: str = ""
    suspicion: Suspicion | None = None
    store_error: StoreError | None = None
    reload_error: str = ""
    reloads: int = 0
    pings: int = 0
    hangs: asyncio.Event | None = None
    broken: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ("role:operator",)
    budget: ByteBudget = field(default_factory=ByteBudget)
    bounds: Bounds = field(default_factory=Bounds)
    web_config: Path | None = None

    def note(self, name: str, /, **fields: object) -> None:
        self.facts.append((name, fields))

    def of(self, name: str) -> list[dict[str, object]]:
        """Return the facts of this name."""
        return [fields for fact, fields in self.facts if fact == name]

    async def ready(self) -> str:
        self.pings += 1
        if self.hangs is not None:
            await self.hangs.wait()
        if self.store_error is not None:
            raise self.store_error
        return self.not_ready

    async def reload(self) -> str:
        self.reloads += 1
        return self.reload_error

    async def approvers_of(self, _run: Run) -> tuple[str, ...]:
        return self.approvers

    async def report(self, filters: Mapping[str, str]) -> JsonObject:
        if filters:
            raise ValueError(f"unknown parameter {next(iter(filters))!r}")
        return {"health": 100}

    async def verify(self) -> JsonObject:
        return {"problems": ["segment 1: what is there now is not what was sealed"]}

    def playbooks(self) -> list[JsonObject]:
        """List two that are well, and the first that is broken: an earlier version of it was good."""
        stale: list[JsonObject] = [
            {"name": "stale", "file": file, "stale": True} for file in self.stale or self.broken[:1]
        ]
        return [{"name": "restart", "mode": "auto"}, {"name": "scale", "mode": "observe"}, *stale]

    def complaints(self) -> list[JsonObject]:
        errors: list[JsonObject] = [{"file": file, "line": 1, "severity": "error"} for file in self.broken]
        return [{"file": "bad.yaml", "line": 3, "message": "unknown key"}, *errors]

    def parts(self) -> Parts:
        return Parts(
            settings=lambda: self.settings,
            people=self.store,
            intake=CommittingBuffer(
                self.inbox,  # type: ignore[arg-type] # lists are sequences
                lambda: None,
                self.note,
                budget=self.budget,
            ),
            now=self.store.now,
            on_fact=self.note,
            render_metrics=lambda: (b"up 1\n", "text/plain; version=0.0.4; charset=utf-8"),
            ready=self.ready,
            reload=self.reload,
            depths=self.store.depths,
            playbooks=self.playbooks,
            complaints=self.complaints,
            approvers=self.approvers_of,
            explain=lambda labels: {"candidates": CANDIDATES.get(labels.get("alertname", ""), [])},
            report=self.report,
            verify=self.verify,
            web_config=WebConfigFile(self.web_config),
            version="1.2.3",
            role="all",
            started_at=self.store.now(),
            suspicion=lambda: self.suspicion,
            bounds=self.bounds,
        )

    @asynccontextmanager
    async def serving(self, listen: str = "127.0.0.1:0") -> AsyncIterator[int]:
        """Serve for as long as the block lasts; gives the port."""
        server = WebServer(make_application(self.parts()), [listen])
        await server.start()
        try:
            yield server.ports[0]
        finally:
            await server.stop()


def settings_of(folder: Path, text: str = SETTINGS, **flags: str) -> Settings:
    """Read settings from a text."""
    path = folder / "responder.yml"
    path.write_text(text)
    return load_settings(path, {name.replace("_", "."): value for name, value in flags.items()})


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    store = open_store(embedded(tmp_path / "responder.db"))
    assert isinstance(store, SqlStore)
    await store.open()
    yield Bed(settings_of(tmp_path), store, FailingInbox(store))
    await store.close()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the API says
        return json.loads(self.text)


Call = Callable[..., Awaitable[Answer]]


@pytest.fixture
async def port(bed: Bed) -> AsyncIterator[int]:
    async with bed.serving() as port:
        yield port


@pytest.fixture
async def call(port: int) -> AsyncIterator[Call]:
    """Give a way to call the server; no answer may hold a planted secret."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def one(
            method: str,
            path: str,
            *,
            token: str = "",
            body: object = None,
            data: bytes | None = None,
            headers: Mapping[str, str] | None = None,
        ) -> Answer:
            sent = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
            if body is not None:
                data = json.dumps(body).encode()
                sent.setdefault("Content-Type", "application/json")
            content = io.BytesIO(data) if data else None
            async with session.request(method, path, data=content, headers=sent, allow_redirects=False) as got:
                answer = Answer(got.status, await got.text(), dict(got.headers))
            assert not [secret for secret in PLANTED if secret in answer.text]
            return answer

        yield one


async def raw(port: int, data: bytes, wait: float = 10) -> bytes:
    """Send bytes as they are, and return everything that comes back until the other side closes or ``wait`` is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(wait):
            return await reader.read()
    finally:
        writer.close()
