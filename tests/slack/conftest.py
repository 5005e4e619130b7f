"""A responder in the loop of the test, made by the composition root, with a Slack in which people press buttons."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from responder.app import ServeOptions, read_settings
from responder.app.runtime import Runtime
from responder.app.serving import bound
from responder.app.working import started
from responder.telemetry import Metrics, Redactor, Telemetry
from tests.act_bed import playbook_text
from tests.bed.alerts import alert, webhook
from tests.bed.slack_clicks import ClickingSlack, Heard
from tests.bed.slack_peer import Message
from tests.bed.slack_peer import slack as serve_slack
from tests.bed.stores import embedded
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject, Rate
from tests.process_bed import WEBHOOK_TOKEN, config

PATIENT = timedelta(seconds=20)
BUSY = 25.0
"""Seconds in place of Slack's three: other tests keep the store waiting. Slack's own are held in tests/unit/web."""
PEOPLE = {
    "U0ANA": {"name": "ana", "role": "operator"},
    "U0BEN": {"name": "ben", "role": "operator", "groups": ["sre"]},
    "U0GUEST": {"name": "guest", "role": "viewer"},
    "U0PAY": {"name": "pia", "role": "operator", "teams": ["payments"]},
}


def settings_for(slack: ClickingSlack, store: str, target: str, **more: object) -> JsonObject:
    """Return a configuration that takes clicks by both ways."""
    app = {"token": slack.token, "signing_secret": slack.signing_secret, "api_url": slack.api_url}
    usual: JsonObject = {
        "access": {"tokens": [{"name": "oncall", "role": "admin", "token": "planted-token"}], "slack": PEOPLE},
        "notify": {"slack": {**app, "app_token": slack.app_token}},
        "page": {"slack": "#oncall", "after": "1h"},
        "routes": [{"slack": "#alerts", "incidents": "all"}],
    }
    return config(store, target, **{**usual, **more})


@dataclass
class Office:
    """What a test turns: the responder, its target, and the two ways in."""

    runtime: Runtime
    url: str
    slack: ClickingSlack
    target: Target
    way: str = "https"
    facts: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    async def fire(self, **labels: str) -> None:
        """Let an alert fire."""
        body = webhook([alert({"alertname": "Overloaded", "severity": "critical", "team": "shop", **labels})])
        headers = {"Authorization": f"Bearer {WEBHOOK_TOKEN}"}

        async def taken() -> bool:
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{self.url}/webhook/alertmanager", json=body, headers=headers) as got,
            ):
                assert got.status in (200, 503), await got.text()  # a busy store asks to send it again
                return got.status == 200

        await eventually(taken, PATIENT)

    async def button(self, label: str) -> Message:
        """Return the incident's message once it has this button."""

        async def look() -> Message | None:
            shown = [one for one in self.slack.in_channel("#alerts") if one.thread_ts in (None, one.ts)]
            return next((one for one in shown if label in self.slack.buttons(one)), None)

        found = await eventually(look, PATIENT)
        assert found is not None
        return found

    async def press(self, message: Message, label: str, user: str = "U0ANA") -> str:
        """Press a button as it stands now, and return what the user is told."""
        return await self.send(self.slack.pressing(message, label, user))

    async def send(self, payload: JsonObject) -> str:
        """Send a press, be acknowledged in time, and return what the user is told."""
        user = payload["user"]["id"]
        before = len(self.slack.said_to(user))
        heard = await self.deliver(payload)
        assert heard.status == 200, heard

        async def told() -> list[str]:
            return self.slack.said_to(user)[before:]

        (said, *_) = await eventually(told, PATIENT)
        return said

    async def deliver(self, payload: JsonObject) -> Heard:
        """Send a press or a command the way that the test is about."""
        if self.way == "https":
            return await self.slack.call(self.url, *self.slack.request(payload))
        return await self.slack.through_socket(payload)

    async def run(self, *states: str, kind: str = "forward") -> Mapping[str, Any]:
        """Return the latest run once it is in one of ``states``."""

        async def look() -> Mapping[str, Any] | None:
            page = await self.runtime.store.page("runs", {"kind": kind}, 1, "")
            return next((one for one in page.items if one["state"] in states), None)

        found: Mapping[str, Any] | None = await eventually(look, PATIENT)
        assert found is not None
        return found

    async def audit(self, *actions: str) -> list[tuple[str, str, str]]:
        """Return who did what, oldest first, with the button or the reason."""
        page = await self.runtime.store.page("audit", {}, 1000, "")
        rows: list[dict[str, Any]] = [dict(one) for one in reversed(page.items) if one["action"] in actions]
        return [
            (one["actor"], one["action"], str(one["details"].get("why") or one["details"].get("button", "")))
            for one in rows
        ]

    async def thread(self, text: str) -> str:
        """Return the incident's thread once it holds ``text``."""

        async def look() -> str:
            said = "\n".join(
                block["text"]["text"]
                for one in self.slack.in_channel("#alerts")
                if one.thread_ts not in (None, one.ts)
                for block in one.blocks
            )
            return said if text in said else ""

        return await eventually(look, PATIENT)

    @property
    def workers(self) -> list[object]:
        """The values that the target was given, one after the other."""
        return [(one.after or {}).get("workers") for one in self.target.ledger.entries if one.method != "GET"]


@pytest.fixture
async def clicking() -> AsyncIterator[ClickingSlack]:
    async with serve_slack(ClickingSlack(posts=Rate(None, 1.0), updates=Rate(None, 1.0), patience=BUSY)) as peer:
        assert isinstance(peer, ClickingSlack)
        yield peer


@asynccontextmanager
async def office(
    folder: Path,
    slack: ClickingSlack,
    target: Target,
    playbook: str,
    *,
    store: str = "",
    way: str = "https",
    **more: object,
) -> AsyncIterator[Office]:
    """Run a responder with one playbook; it is connected to Slack when the block begins."""
    (folder / "playbooks").mkdir(parents=True, exist_ok=True)
    (folder / "playbooks" / "fix.yaml").write_text(playbook, encoding="utf-8")
    url = store or embedded(folder / "responder.db")
    (folder / "responder.yml").write_text(json.dumps(settings_for(slack, url, target.url, **more)), encoding="utf-8")
    target.resources["workers"] = {"workers": 4}
    options = ServeOptions(folder / "responder.yml", listen=("127.0.0.1:0",))
    settings = await asyncio.to_thread(read_settings, options.config_file, options.flags())
    runtime = Runtime(options, settings, Telemetry(Metrics()), Redactor())
    facts: list[tuple[str, Mapping[str, object]]] = []
    fact = runtime.telemetry.fact

    def note(name: str, /, **fields: object) -> None:
        facts.append((name, fields))
        if "failed" in name or "crashed" in name:
            fact(name, **fields)

    runtime.telemetry.fact = note  # type: ignore[method-assign] # the test listens in
    before = slack.opened
    async with AsyncExitStack() as stack:
        web = await stack.enter_async_context(bound(runtime))
        web.chat.desk._answer_seconds = BUSY - 5
        await stack.enter_async_context(started(runtime))
        await stack.enter_async_context(web.serving())

        async def connected() -> bool:
            return slack.opened > before

        await eventually(connected, PATIENT)
        yield Office(runtime, f"http://127.0.0.1:{web.server.ports[0]}", slack, target, way, facts)


__all__ = ["Office", "clicking", "office", "playbook_text"]
