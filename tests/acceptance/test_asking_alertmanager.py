"""A responder that asks a real Alertmanager, from outside: two replicas, a silence, its end, and an end nobody told."""

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from tests.act_bed import playbook_text
from tests.bed.alerts import alert, instant, webhook
from tests.bed.servers import Alertmanager, alertmanager_config
from tests.bed.target_process import TargetProcess
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.process_bed import WEBHOOK_TOKEN, Responder, config, responder

FIRING = alert(alertname="Overloaded")
A_MINUTE = timedelta(minutes=1)
NOBODY = "http://127.0.0.1:9/"


def _settings(store: str, target: TargetProcess, alertmanager: Alertmanager) -> JsonObject:
    credentials = {"credentials": WEBHOOK_TOKEN}
    source = {"kind": "alertmanager", "authorization": credentials, "api_url": alertmanager.url}
    return config(store, target.url, sources={"alertmanager": source}, group_interval="1s")


def _silence(alertmanager: Alertmanager) -> str:
    """Silence the alert and return the silence's id."""
    now = datetime.now(UTC)
    body = {
        "matchers": [{"name": "alertname", "value": "Overloaded", "isRegex": False, "isEqual": True}],
        "startsAt": instant(now),
        "endsAt": instant(now + timedelta(hours=1)),
        "createdBy": "test",
        "comment": "test",
    }
    headers = {"Content-Type": "application/json"}
    url = f"{alertmanager.url}/api/v2/silences"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - as above
        return str(json.load(answer)["silenceID"])


def _end_silence(alertmanager: Alertmanager, silence: str) -> None:
    request = urllib.request.Request(f"{alertmanager.url}/api/v2/silence/{silence}", method="DELETE")  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=5):  # noqa: S310 - as above
        pass


def _fire(alertmanager: Alertmanager, one: Mapping[str, object]) -> None:
    ends_at = instant(datetime.now(UTC) + timedelta(hours=1))
    alertmanager.post([{"labels": one["labels"], "startsAt": one["startsAt"], "endsAt": ends_at}])


def _state(alertmanager: Alertmanager) -> str:
    """Return what Alertmanager says of the alert: nothing before it has looked at it itself."""
    with urllib.request.urlopen(f"{alertmanager.url}/api/v2/alerts", timeout=5) as answer:  # noqa: S310 - our own server
        return "".join(str(one["status"]["state"]) for one in json.load(answer))


async def _row(of: Responder, path: str, **wanted: str) -> JsonObject:
    async def look() -> JsonObject | None:
        rows = await asyncio.to_thread(of.items, path)
        return next((row for row in rows if all(row[name] == value for name, value in wanted.items())), None)

    found = await eventually(look, A_MINUTE)
    assert found is not None
    return found


async def test_a_silence_holds_and_when_it_is_over_one_of_two_replicas_acts_once(
    postgres_url: str, target_process: TargetProcess, alertmanager: Alertmanager
) -> None:
    await asyncio.to_thread(target_process._send, "PUT", "/admin/workers", {"workers": 4})
    await asyncio.to_thread(alertmanager.configure, alertmanager_config(NOBODY))
    settings = _settings(postgres_url, target_process, alertmanager)
    with contextlib.ExitStack() as stack:
        fix = {"fix.yaml": playbook_text()}
        one, two = (stack.enter_context(responder(fix, settings, name)) for name in ("one", "two"))
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in (one, two)))
        await asyncio.to_thread(_fire, alertmanager, FIRING)
        silence = await asyncio.to_thread(_silence, alertmanager)
        await eventually(lambda: _state(alertmanager) == "suppressed")
        await asyncio.to_thread(one.deliver, webhook([FIRING]))
        skipped = await _row(one, "runs", verdict="silenced")
        assert skipped["state"] == "skipped"
        await _row(two, "decisions", verdict="silenced")

        await asyncio.to_thread(_end_silence, alertmanager, silence)
        await _row(two, "runs", state="verified")
        runs = await asyncio.to_thread(one.items, "runs")
        assert sorted(str(row["state"]) for row in runs).count("verified") == 1
        deliveries = await asyncio.to_thread(one.items, "deliveries")
        assert len(deliveries) <= 1 + 2, "one answer says silenced, one says active, whoever asked"
