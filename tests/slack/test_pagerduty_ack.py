"""An acknowledgement in PagerDuty keeps the responder's hands off; forged and repeated ones do nothing."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from responder.web.pagerduty import check_signature, read_event
from responder.web.parts import Refused
from tests.bed.pagerduty_peer import acknowledged, signed
from tests.bed.slack_clicks import ClickingSlack
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.slack.conftest import PATIENT, Office, office, playbook_text

SECRET = "whsec-of-the-subscription"  # the name that PagerDuty gives it


async def send(office: Office, event: JsonObject, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    body = json.dumps(event).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{office.url}/pagerduty/webhook", data=body, headers=signed(SECRET, body) if headers is None else headers
        ) as got,
    ):
        return got.status, (await got.text()).strip()


async def _held(office: Office) -> bool:
    (run,) = (await office.runtime.store.page("runs", {}, 1, "")).items
    return run["verdict"] == "paused"


async def test_an_acknowledgement_stops_automation_on_that_incident_and_no_other(
    tmp_path: Path, clicking: ClickingSlack, target: Target
) -> None:
    people = {"PANA": {"name": "ana", "role": "operator"}, "PGUEST": {"name": "guest", "role": "viewer"}}
    services = {"shop": {"routing_key": "k" * 32, "interop": "alertmanager"}}
    app = {"token": clicking.token, "app_token": clicking.app_token, "api_url": clicking.api_url}
    async with office(
        tmp_path,
        clicking,
        target,
        playbook_text(mode="approve"),
        access={"tokens": [{"name": "oncall", "role": "admin", "token": "planted-token"}], "pagerduty": people},
        notify={"slack": app, "pagerduty": {"services": services, "webhook_secret": SECRET}},
    ) as one:
        await one.fire()
        run = await one.run("awaiting_approval")
        incident, key = str(run["incident"]), f"responder/{run['incident']}"

        assert await send(one, acknowledged(key, "PGUEST")) == (202, "not allowed")
        assert await send(one, acknowledged("responder/nobody")) == (202, "unknown incident")
        assert await send(one, acknowledged(key, agent={"id": "S1", "type": "service_reference"})) == (202, "ignored")
        old = (datetime.now(UTC) - timedelta(hours=30)).isoformat()
        assert await send(one, acknowledged(key, occurred_at=old)) == (202, "too old")
        assert (await send(one, acknowledged(key), {"X-PagerDuty-Signature": "v1=" + "0" * 64}))[0] == 401
        assert [brake.scope for brake in await one.runtime.store.brakes_in_force()] == []

        event = acknowledged(key)
        assert await send(one, event) == (202, "taken")
        (brake,) = await one.runtime.store.brakes_in_force()
        assert (brake.scope, brake.actor, brake.reason) == (
            f"incident:{incident}", "ana", "acknowledged in PagerDuty, incident #7"
        )  # fmt: skip
        (asked,) = (await one.runtime.store.page("approvals", {"run": str(run["id"])}, 1, "")).items
        plan = str(asked["plan_hash"])
        said = await one.runtime.store.answer(str(run["id"]), approve=True, actor="oncall", plan_hash=plan, comment="")
        assert said is None
        await eventually(lambda: _held(one), PATIENT)
        assert one.workers == []
        assert await one.audit("button.pressed", "button.refused") == [
            ("guest", "button.pressed", "Acknowledge in PagerDuty"),
            ("guest", "button.refused", "guest is viewer here; this takes operator"),
            ("ana", "button.pressed", "Acknowledge in PagerDuty"),
        ]
        await one.thread("ana pressed Acknowledge in PagerDuty")

        await one.runtime.store.resume(brake.id, "ana")
        again = await one.run("awaiting_approval")
        assert again["id"] != run["id"], "it is looked at again at once, not when the pause would have ended"
        assert await send(one, event) == (202, "seen before")
        assert await one.runtime.store.brakes_in_force() == [], "what was lifted stays lifted, whatever is repeated"


def test_a_signature_counts_under_either_secret_while_one_is_exchanged_for_the_other() -> None:
    body = b'{"event": {}}'
    check_signature("new", signed("old", body, "new")["X-PagerDuty-Signature"], body)
    for header in ("", "v1=", "v0=abc", "é", signed("old", body)["X-PagerDuty-Signature"]):
        with pytest.raises(Refused):
            check_signature("new", header, body)


_NO_TIME = b'{"event": {"id": 1, "event_type": "x", "occurred_at": "soon"}}'


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"event": 1}', b'{"event": {"id": 1}}', b"\xff", _NO_TIME])
def test_what_is_no_event_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_event(body)
    assert refused.value.status == 400
