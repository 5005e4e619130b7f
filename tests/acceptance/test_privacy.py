"""Planted secrets: fifty kinds of them, in every place that somebody else fills, and none comes out anywhere."""

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from tests.act_bed import playbook_text
from tests.bed.alerts import alert, webhook
from tests.bed.pagerduty_peer import ROUTING_KEY, PagerDutyPeer
from tests.bed.planted import SETTINGS, SHAPES
from tests.bed.posting_peers import HookPeer, Mailbox, TeamsPeer, hook, mail_server, teams
from tests.bed.slack_peer import SlackPeer
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject, Rate, serving
from tests.process_bed import Responder, config, responder

HALF_A_MINUTE = timedelta(seconds=30)
SHOWN = [secret for _, secret in SHAPES.values()]
PLANTED = [planted for planted, _ in SHAPES.values()]
LISTS = ("incidents", "episodes", "deliveries", "decisions", "runs", "records", "playbooks", "approvals", "audit")


async def _leak(request: web.Request) -> web.Response:
    """Refuse, as a badly made service does: with everything that it knows."""
    told = {"headers": dict(request.headers), "settings": SETTINGS, "more": PLANTED}
    turned = PLANTED[hash(request.query_string) % len(PLANTED) :]
    return web.Response(status=403, text="\n".join([SETTINGS["connection"], *turned, json.dumps(told)]))


@dataclass
class Places:
    """Everywhere that people are told."""

    slack: SlackPeer
    pagerduty: PagerDutyPeer
    hook: HookPeer
    teams: TeamsPeer
    mailbox: Mailbox

    def told(self) -> Mapping[str, str]:
        """Return what stands there."""
        return {
            "slack": "\n".join(json.dumps(one.blocks) + one.text for one in self.slack.messages),
            "pagerduty": json.dumps([self.pagerduty.events, self.pagerduty.changes]).replace(ROUTING_KEY, ""),
            "webhook": json.dumps(self.hook.events),
            "teams": json.dumps(self.teams.cards),
            "email": "\n".join(f"{one.items()}\n{one.get_content()}" for one in self.mailbox.mails),
        }


def _settings(target: str, places: Places) -> JsonObject:
    secret, slack, pagerduty = SETTINGS, places.slack, places.pagerduty
    return config(
        "sqlite:///responder.db",
        target,
        sources={
            "alertmanager": {"authorization": {"credentials": secret["webhook"]}},
            "grafana": {"kind": "grafana", "hmac": {"secret": secret["hmac"]}},
        },
        access={
            "tokens": [
                {"name": "oncall", "role": "admin", "token_file": "token"},
                {"name": "second", "role": "viewer", "token": secret["second"]},
            ]
        },
        connections={
            "http": {
                "checkout": {
                    "url": target,
                    "allow": ["* /*"],
                    "authorization": {"credentials": secret["connection"]},
                    "http_headers": {"X-Key": {"secrets": [secret["header"]]}},
                }
            },
            "postgres": {"main": {"dsn": f"postgresql://app:{secret['dsn']}@127.0.0.1:9/shop"}},
            "redis": {"cache": {"url": "redis://127.0.0.1:9", "password": secret["redis"]}},
        },
        prometheus={
            "default": {"url": target, "basic_auth": {"username": "prom", "password": secret["prometheus"]}},
        },
        notify={
            "console": True,
            "slack": {"token": slack.token, "signing_secret": secret["signing"], "api_url": slack.api_url},
            "pagerduty": {"services": {"payments": {"routing_key": ROUTING_KEY}}, "api_url": pagerduty.url},
            "slack_webhook": {"alerts": slack.webhook_url},
            "webhook": {"audit": {"url": places.hook.url, "secret": places.hook.secret}},
            "teams": {"oncall": places.teams.url},
            "email": {
                "host": "127.0.0.1",
                "port": places.mailbox.port,
                "tls": "none",
                "from": "responder@corp.example",
            },
        },
        page={"pagerduty": "payments", "after": "1s"},
        routes=[
            {
                "incidents": "all",
                "slack": "#alerts",
                "console": True,
                "pagerduty": "payments",
                "slack_webhook": "alerts",
                "webhook": "audit",
                "teams": "oncall",
                "email": "oncall@corp.example",
            }
        ],
        privacy={"labels": ["customer"], "patterns": ["ACME-[0-9]{6}"]},
    )


def _alerts() -> Sequence[JsonObject]:
    """Return one alert that is acted on, and one for each kind: the secret in a label, in annotations and in a URL."""
    words = {"summary": " and ".join([*SETTINGS.values(), *PLANTED]), "description": " | ".join(PLANTED)}
    hidden = {"customer": "Wile E Coyote", "ticket": "ACME-123456"}
    first = alert(
        {**hidden, "severity": "critical"}, alertname="Overloaded", annotations={**words, "who": "Wile E Coyote"}
    )
    more = [
        alert(
            {"kind": kind, "leak": planted, "severity": "critical"},
            alertname="Overloaded",
            annotations={"summary": f"Wile E Coyote says {planted}", "runbook_url": f"http://wiki/?q={planted}"},
            generator_url=f"http://prometheus/graph?token={SETTINGS['prometheus']}",
        )
        for kind, planted in {**dict(zip(SHAPES, PLANTED, strict=True)), **SETTINGS}.items()
    ]
    return [first, *more]


def _answers(running: Responder) -> str:
    """Return everything that HTTP and the command line say, errors too."""
    texts = [running.call("GET", f"/api/v1/{one}?limit=200")[1] for one in (*LISTS, "status", "report")]
    for one in ("incidents", "runs", "episodes"):
        texts += [running.call("GET", f"/api/v1/{one}/{row['id']}")[1] for row in running.items(one)[:3]]
    texts.append(running.call("GET", "/api/v1/explain?alertname=Overloaded&customer=Wile%20E%20Coyote")[1])
    texts.append(running.call("GET", "/metrics")[1])
    for planted in PLANTED[::13]:
        texts.append(running.call("GET", "/api/v1/runs/" + quote(planted, safe=""))[1])
        texts.append(running.call("POST", "/api/v1/pauses", {"scope": planted, "kind": planted})[1])
        texts.append(running.call("POST", "/webhook/alertmanager", planted, planted.replace("\n", ""))[1])
    return "\n".join(texts)


def _found(text: str, *more: str) -> list[str]:
    wanted = {**{kind: secret for kind, (_, secret) in SHAPES.items()}, **SETTINGS, **{one: one for one in more}}
    forms = {kind: {secret, json.dumps(secret)[1:-1]} for kind, secret in wanted.items()}
    return [kind for kind, found in forms.items() if any(form in text for form in found)]


@pytest.mark.promise(19)
async def test_none_of_fifty_planted_secrets_comes_out_anywhere(slack: SlackPeer, pagerduty: PagerDutyPeer) -> None:
    assert len(SHAPES) + len(SETTINGS) >= 50
    slack.posts = Rate(None, 1.0)
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", _leak)
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(serving(app))
        hooked = await stack.enter_async_context(hook())
        carded = await stack.enter_async_context(teams())
        mailed = await stack.enter_async_context(mail_server())
        places = Places(slack, pagerduty, hooked, carded, mailed)
        running = stack.enter_context(responder({"fix.yaml": playbook_text()}, _settings(target, places)))
        await asyncio.to_thread(running.start)
        status, said = await asyncio.to_thread(
            running.call, "POST", "/webhook/alertmanager", webhook(_alerts()), SETTINGS["webhook"]
        )
        assert status == 200, said
        await eventually(lambda: all("<secret>" in one for one in places.told().values()), HALF_A_MINUTE)
        reason = await eventually(lambda: asyncio.to_thread(_failed, running), HALF_A_MINUTE)
        assert "answered 403" in reason
        answers = await asyncio.to_thread(_answers, running)
        assert await asyncio.to_thread(running.stop) == 0
        assert running.child is not None
        log, kept, told = running.child.output(limit=50_000_000), _kept(running), places.told()
    assert "<secret>" in log
    assert "<secret>" in answers
    for place, text in {**told, "log": log, "answers": answers}.items():
        assert _found(text, "Wile E Coyote", "ACME-123456", ROUTING_KEY) == [], place
    assert [kind for kind in _found(kept) if kind in SETTINGS] == []
    assert [*places.hook.refused, *places.teams.refused, *pagerduty.rejected] == []


def _failed(running: Responder) -> str:
    return next((str(row["reason"]) for row in running.items("runs") if "403" in str(row.get("reason"))), "")


def _kept(running: Responder) -> str:
    """Return what the store keeps beside the alerts themselves: runs, records, decisions, the audit log, receipts."""
    texts: list[Any] = []
    with sqlite3.connect(running.directory / "responder.db") as database:
        for table in ("records", "audit", "decisions", "outbox", "approvals"):
            texts += database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 -- names of our own
        texts += database.execute("SELECT reason FROM runs").fetchall()
    return repr(texts)
