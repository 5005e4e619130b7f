"""A real Alertmanager and our webhook: credentials, what is stored, and that a 503 is sent again."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from responder.domain.errors import Unavailable
from responder.intake.formats import parse
from tests.bed.alerts import alert
from tests.bed.servers import Alertmanager, alertmanager_config
from tests.bed.waiting import eventually
from tests.unit.web.conftest import AM_TOKEN, Bed

BASIC = {"basic_auth": {"username": "u", "password": "p w"}}
BEARER = {"authorization": {"credentials": AM_TOKEN}}
CUSTOM = {"authorization": {"type": "Token", "credentials": AM_TOKEN}}


async def fire(alertmanager: Alertmanager, name: str) -> None:
    """Post one alert that began a minute ago, so that nothing is waited for."""
    now = datetime.now(UTC)
    one = alert({"alertname": name}, starts_at=now - timedelta(minutes=1), ends_at=now + timedelta(minutes=5))
    sent = {key: one[key] for key in ("labels", "annotations", "startsAt", "endsAt")}
    await asyncio.to_thread(alertmanager.post, [sent])


@pytest.mark.parametrize(("source", "http_config"), [("am", BEARER), ("basic", BASIC), ("custom", CUSTOM)])
async def test_its_notification_is_accepted_and_read(
    bed: Bed, alertmanager: Alertmanager, source: str, http_config: dict[str, object]
) -> None:
    async with bed.serving() as port:
        config = alertmanager_config(
            f"http://127.0.0.1:{port}/webhook/{source}", receiver="with.meta(s)", http_config=http_config
        )
        await asyncio.to_thread(alertmanager.configure, config)
        await fire(alertmanager, f"Real-{source}")
        await eventually(lambda: bed.of("delivery"))
    (delivery,) = await bed.store.claim_deliveries(1)
    notice = parse("alertmanager", delivery.body)
    assert (notice.receiver, notice.flags, notice.quarantined) == ("with.meta(s)", (), ())
    assert [one.name for one in notice.alerts] == [f"Real-{source}"]


async def test_while_the_store_is_down_it_sends_again_until_the_alert_is_stored(
    bed: Bed, alertmanager: Alertmanager
) -> None:
    bed.inbox.error = Unavailable("down")
    async with bed.serving() as port:
        # Its retries go on within the flush, whose deadline is ten seconds at least.
        config = alertmanager_config(f"http://127.0.0.1:{port}/webhook/am", http_config=BEARER, group_interval="20s")
        await asyncio.to_thread(alertmanager.configure, config)
        await fire(alertmanager, "Patient")
        await eventually(lambda: len(bed.of("delivery_refused")) >= 2)
        bed.inbox.error = None
        await eventually(lambda: bed.of("delivery"))
    assert {one["status"] for one in bed.of("delivery_refused")} == {503}
    assert len(await bed.store.claim_deliveries(10)) == 1


async def test_a_sender_with_a_wrong_token_is_refused_and_nothing_is_stored(
    bed: Bed, alertmanager: Alertmanager
) -> None:
    async with bed.serving() as port:
        wrong = {"authorization": {"credentials": "planted-wrong-token"}}
        config = alertmanager_config(f"http://127.0.0.1:{port}/webhook/am", http_config=wrong)
        await asyncio.to_thread(alertmanager.configure, config)
        await fire(alertmanager, "Stranger")
        (refused, *_) = await eventually(lambda: bed.of("delivery_refused"))
    assert (refused["status"], refused["reason"]) == (401, "wrong credentials")
    assert await bed.store.claim_deliveries(1) == []
