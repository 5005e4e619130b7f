"""What people do at the command line, against the running program; the target's ledger says what came of it."""

import asyncio
import contextlib
import json
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests.bed import ledger
from tests.bed.alerts import alert, webhook
from tests.bed.playbooks import change_item
from tests.bed.target_process import TargetProcess, target_process
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.process_bed import Responder, config, responder

OK, FINDINGS, USAGE, UNREACHABLE = 0, 1, 2, 3
ITEMS = 40
VIEWER = "viewer-token"
HALF_A_MINUTE = timedelta(seconds=30)
PAUSE_TAKES_HOLD = 1.0
"""Seconds from a pause's commit until no forward effect begins any more."""
PLAYBOOKS = {
    "good.yaml": change_item("good", within="2s", retries=0),
    "bad.yaml": change_item("bad", wanted=99, within="2s", retries=0),
    "patient.yaml": change_item("patient", wanted=99, within="2m", retries=0),
    "asks.yaml": change_item("asks", mode="approve", within="2s", retries=0),
}


@dataclass
class Office:
    """A responder, its target, fresh items, and the command line of two people."""

    running: Responder
    shop: TargetProcess
    seeded: int
    items: Iterator[str] = field(default_factory=lambda: (f"item-{number}" for number in range(ITEMS)))

    async def fire(self, playbook: str) -> str:
        """Let an alert for a fresh item fire, and return the item."""
        item = next(self.items)
        body = webhook([alert({"alertname": playbook, "item": item})], group_by=["item"])
        await asyncio.to_thread(self.running.deliver, body)
        return item

    async def run(self, item: str, *states: str, kind: str = "forward") -> JsonObject:
        """Return the run of an item once it is in one of ``states``."""

        async def look() -> JsonObject | None:
            rows = await asyncio.to_thread(self.running.items, "runs")
            mine = [one for one in rows if one["target"].endswith(f"/{item}") and one["kind"] == kind]
            return next((one for one in mine if one["state"] in states), None)

        found = await eventually(look, HALF_A_MINUTE)
        assert found is not None
        return found

    async def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(self.running.cli, *arguments)

    async def viewer(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return await self.cli(*arguments, "--token-file", str(self.running.directory / "viewer"))

    def effects(self, item: str | None = None) -> list[ledger.Entry]:
        return ledger.effects(self.shop.entries()[self.seeded :], item)

    def workers(self, item: str) -> list[object]:
        """Return the values an item was given, one after the other."""
        return [(one.after or {}).get("workers") for one in self.effects(item)]


@pytest.fixture
def office() -> Iterator[Office]:
    tokens = [
        {"name": "oncall", "role": "operator", "token_file": "token"},
        {"name": "guest", "role": "viewer", "token_file": "viewer"},
    ]
    with target_process() as shop:
        for number in range(ITEMS):
            shop._send("PUT", f"/admin/item-{number}", {"workers": 4})
        settings = config("sqlite:///responder.db", shop.url, access={"tokens": tokens}, routes=[])
        with responder(PLAYBOOKS, settings) as running:
            (running.directory / "viewer").write_text(VIEWER, encoding="utf-8")
            running.start()
            yield Office(running, shop, len(shop.entries()))


async def test_what_happened_can_be_read(office: Office) -> None:
    item = await office.fire("good")
    run_id = (await office.run(item, "verified"))["id"]
    watched = await office.cli("runs", "watch", run_id[-6:])
    assert watched.returncode == OK
    assert "4 → 5" in watched.stdout
    assert "verified" in watched.stdout
    for kind in ("runs", "incidents", "decisions", "deliveries"):
        table = await office.viewer(kind)
        assert table.returncode == OK, table.stderr
        assert len(table.stdout.splitlines()) == 2, table.stdout  # a heading and a row
    (decision,) = json.loads((await office.cli("decisions", "-o", "json", "-w", "playbook=good")).stdout)
    assert (decision["verdict"], decision["run"]) == ("run", run_id)
    told = await office.viewer("explain", "alertname=good", f"item={item}")
    assert told.returncode == OK
    for part in ("received", "decided", run_id, "4 → 5", "verified"):
        assert part in told.stdout
    assert (await office.viewer("explain", "alertname=nothing")).returncode == FINDINGS


async def test_a_watched_run_that_does_not_help_exits_with_1(office: Office) -> None:
    item = await office.fire("bad")
    watched = await office.cli("runs", "watch", (await office.run(item, "verifying", "rolled_back"))["id"])
    assert (watched.returncode, office.workers(item)) == (FINDINGS, [5, 4])
    assert "rolled_back" in watched.stdout


async def test_mistakes_and_silence_have_their_exit_codes(office: Office) -> None:
    assert (await office.cli("runs", "show", "nothing-like-that")).returncode in (FINDINGS, USAGE)
    assert (await office.cli("runs", "-w", "no-such-field=1")).returncode == USAGE
    assert (await office.cli("runs", "--nonsense")).returncode == USAGE
    assert (await office.cli("pause", "everything")).returncode == USAGE
    silent = await office.cli("runs", "--url", "http://127.0.0.1:1")
    assert (silent.returncode, silent.stdout) == (UNREACHABLE, "")


@pytest.mark.promise(17)
async def test_a_plan_is_approved_once_as_it_was_shown_by_someone_allowed_to(office: Office) -> None:
    item = await office.fire("asks")
    run_id = (await office.run(item, "awaiting_approval"))["id"]
    shown = await office.viewer("runs", "show", run_id)
    assert "4 → 5" in shown.stdout
    wrong = await office.cli("approve", run_id, "--plan-hash", "0" * 64)
    assert (wrong.returncode, office.effects(item)) == (FINDINGS, []), wrong
    guest = await office.viewer("approve", run_id)
    assert (guest.returncode, office.effects(item)) == (USAGE, [])
    assert "403" in guest.stderr
    yes = await office.cli("approve", run_id, "--comment", "go ahead")
    assert yes.returncode == OK, yes.stderr
    again = await office.cli("approve", run_id)
    assert again.returncode == FINDINGS, again
    await office.run(item, "verified")
    assert office.workers(item) == [5]
    (approval,) = await asyncio.to_thread(office.running.items, f"approvals?run={run_id}")
    assert (approval["decided_by"], approval["comment"]) == ("oncall", "go ahead")


@pytest.mark.promise(17)
async def test_two_who_approve_at_the_same_moment_cause_one_effect(office: Office) -> None:
    item = await office.fire("asks")
    run_id = (await office.run(item, "awaiting_approval"))["id"]
    answers = await asyncio.gather(*(office.cli("approve", run_id) for _ in range(3)))
    assert Counter(one.returncode for one in answers) == {OK: 1, FINDINGS: 2}
    await office.run(item, "verified")
    assert office.workers(item) == [5]


@pytest.mark.promise(17)
async def test_a_changed_plan_is_not_the_one_that_was_approved(office: Office) -> None:
    item = await office.fire("asks")
    run_id = (await office.run(item, "awaiting_approval"))["id"]
    (asked,) = await asyncio.to_thread(office.running.items, f"approvals?run={run_id}")
    office.shop._send("PUT", f"/admin/{item}", {"workers": 7})  # somebody else was faster
    yes = await office.cli("approve", run_id, "--plan-hash", asked["plan_hash"])
    assert (yes.returncode, "approved" in yes.stdout.split()) == (FINDINGS, False)
    assert "the target has changed since, and there is a new plan" in yes.stderr

    async def asks_again() -> bool:
        found = await asyncio.to_thread(office.running.items, f"approvals?run={run_id}&state=pending")
        return [one["plan_hash"] for one in found] not in ([], [asked["plan_hash"]])

    await eventually(asks_again)
    assert office.workers(item) == [7]


async def test_a_no_ends_the_run_and_nothing_is_changed(office: Office) -> None:
    item = await office.fire("asks")
    run_id = (await office.run(item, "awaiting_approval"))["id"]
    assert (await office.viewer("reject", run_id)).returncode == USAGE
    no = await office.cli("reject", run_id, "--comment", "not now")
    assert no.returncode == OK, no.stderr
    ended = await office.run(item, "cancelled")
    assert "not now" in ended["reason"]
    assert (await office.cli("approve", run_id)).returncode == FINDINGS
    assert (await office.cli("runs", "watch", run_id)).returncode == FINDINGS
    assert office.effects(item) == []


@contextlib.asynccontextmanager
async def _storm(office: Office, every: float) -> AsyncIterator[list[str]]:
    """Let an alert fire every so many seconds until the block ends; gives the items."""
    fired: list[str] = []

    async def go_on() -> None:
        while True:
            fired.append(await office.fire("good"))
            await asyncio.sleep(every)

    task = asyncio.create_task(go_on())
    try:
        yield fired
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_pause_takes_hold_within_a_second_and_resume_makes_up_for_it(office: Office) -> None:
    helpless = await office.fire("bad")
    await office.run(helpless, "verifying", "rolled_back")
    async with _storm(office, 0.2) as fired:
        await eventually(lambda: len(office.effects()) > 4)
        assert (await office.viewer("pause")).returncode == USAGE
        paused = await office.cli("pause", "all", "--reason", "let me look")
        held_at = time.time() + PAUSE_TAKES_HOLD
        assert paused.returncode == OK, paused.stderr
        before = len(fired)
        await eventually(lambda: len(fired) >= before + 12)
    await office.run(helpless, "rolled_back")  # what was changed is undone, paused or not
    held_back = [one for one in fired if not office.effects(one)]
    assert len(held_back) >= 5
    assert [one for one in office.effects() if one.began > held_at and one.name != helpless] == []
    status = office.running.get("status")
    assert [(one["scope"], one["reason"]) for one in status["pauses"]] == [("all", "let me look")]
    resumed = await office.cli("resume", "all")
    assert (resumed.returncode, resumed.stdout) == (OK, "lifted 1\n")
    for item in fired:
        await office.run(item, "verified")
        assert office.workers(item) == [5]


@pytest.mark.promise(10)
async def test_a_halt_stops_undoing_too_and_survives_a_restart(office: Office) -> None:
    item = await office.fire("bad")
    await office.run(item, "verifying")
    halted = await office.cli("pause", "--halt")
    assert halted.returncode == OK
    await office.run(item, "parked")
    await asyncio.to_thread(office.running.stop)
    await asyncio.to_thread(office.running.start)
    other = await office.fire("good")

    async def refused() -> bool:
        rows = await asyncio.to_thread(office.running.items, "decisions?verdict=halted")
        return bool(rows)

    await eventually(refused)
    assert (office.workers(item), office.workers(other)) == ([5], [])
    assert (await office.cli("resume", halted.stdout.strip())).returncode == OK
    assert (await office.cli("resume", halted.stdout.strip())).returncode == FINDINGS
    await office.run(item, "rolled_back")
    await office.run(other, "verified")
    assert (office.workers(item), office.workers(other)) == ([5, 4], [5])


async def test_a_pause_of_one_playbook_leaves_the_others(office: Office) -> None:
    assert (await office.cli("pause", "playbook:bad", "--for", "10m")).returncode == OK
    held, free = await office.fire("bad"), await office.fire("good")
    await office.run(free, "verified")
    assert office.workers(held) == []


async def test_a_stopped_run_takes_back_what_it_did(office: Office) -> None:
    item = await office.fire("patient")
    run_id = (await office.run(item, "verifying"))["id"]
    assert (await office.viewer("stop", run_id)).returncode == USAGE
    assert (await office.cli("stop", run_id)).returncode == OK
    ended = await office.run(item, "rolled_back")
    assert "oncall" in ended["reason"]
    assert office.workers(item) == [5, 4]
    assert (await office.cli("stop", run_id)).returncode == FINDINGS


async def test_a_rollback_restores_what_was_there_once(office: Office) -> None:
    item = await office.fire("good")
    run_id = (await office.run(item, "verified"))["id"]
    assert (await office.viewer("rollback", run_id)).returncode == USAGE
    asked = await office.cli("rollback", run_id, "--reason", "it was I")
    assert asked.returncode == OK, asked.stderr
    rollback = await office.run(item, "rolled_back", kind="rollback")
    assert (rollback["id"], rollback["of_run"]) == (asked.stdout.strip(), run_id)
    assert office.shop.resource(item) == {"workers": 4}
    assert (await office.cli("rollback", run_id)).returncode == FINDINGS
    assert office.workers(item) == [5, 4]


async def test_a_rollback_leaves_what_somebody_else_has_changed_since(office: Office) -> None:
    item = await office.fire("good")
    run_id = (await office.run(item, "verified"))["id"]
    office.shop._send("PUT", f"/admin/{item}", {"workers": 12})
    assert (await office.cli("rollback", run_id)).returncode == OK
    ended = await office.run(item, "failed", "partly_rolled_back", "unknown", "rolled_back", kind="rollback")
    assert ended["state"] != "rolled_back"
    assert office.shop.resource(item) == {"workers": 12}
    incident = office.running.get(f"incidents/{ended['incident']}")
    assert incident["needs_person"]
    assert (await office.cli("ack", incident["id"])).returncode == OK
    assert not office.running.get(f"incidents/{incident['id']}")["needs_person"]
