"""Two playbooks at odds, against the running program: the third change in a row is left to a person."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.bed import ledger
from tests.bed.alerts import alert, webhook
from tests.bed.playbooks import change_item
from tests.bed.target_process import target_process
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.process_bed import Responder, config, responder

ITEM = "item-0"
PLAYBOOKS = {
    "up.yaml": change_item("up", wanted=5, within="2s", retries=0),
    "down.yaml": change_item("down", wanted=6, within="2s", retries=0),
}


async def _fire(running: Responder, name: str, *, again: str = "") -> None:
    """Let an alert begin now."""
    one = alert({"alertname": name, "item": ITEM}, starts_at=datetime.now(UTC), again=again)
    await asyncio.to_thread(running.deliver, webhook([one], group_by=["alertname", "again"]))


async def _found(running: Responder, path: str, **wanted: str) -> JsonObject:
    async def look() -> JsonObject | None:
        rows = await asyncio.to_thread(running.items, path)
        return next((one for one in rows if all(one[name] == value for name, value in wanted.items())), None)

    found = await eventually(look, timedelta(seconds=30))
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_two_playbooks_at_odds_end_at_a_person(kind: str, request: pytest.FixtureRequest) -> None:
    store = "sqlite:///responder.db" if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))
    with target_process() as shop:
        shop._send("PUT", f"/admin/{ITEM}", {"workers": 4})
        seeded = len(shop.entries())
        with responder(PLAYBOOKS, config(store, shop.url)) as running:
            running.start()
            await _fire(running, "up")
            first = await _found(running, "runs", playbook="up", state="verified")
            await _fire(running, "down")
            second = await _found(running, "runs", playbook="down", state="verified")
            assert (first["caused_by"], first["depth"]) == ("", 1)
            assert (second["caused_by"], second["depth"]) == (first["id"], 2)

            await _fire(running, "up", again="yes")
            refused = await _found(running, "decisions", verdict="loop")
            assert second["id"] in refused["reason"]
            asking = [one for one in await asyncio.to_thread(running.items, "incidents") if one["needs_person"]]
            assert ["our own changes" in one["needs_person"] for one in asking] == [True]
            told = await asyncio.to_thread(running.cli, "explain", "alertname=down")
            assert f"after run {first['id']} (depth 2)" in told.stdout
            assert len(ledger.effects(shop.entries()[seeded:], ITEM)) == 2
