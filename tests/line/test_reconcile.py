"""Alertmanager's own API and the straight line: a real Alertmanager says what is silenced, inhibited or gone."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from responder.act.actor import take_turn
from responder.app import catalogue
from responder.clients.witnesses import AlertmanagerSpec, Witnesses
from responder.decide.decider import Decider
from responder.decide.rules import Rules
from responder.domain.ids import new_id
from responder.domain.limits import Pause
from responder.domain.modes import Mode
from responder.intake.formats import parse
from responder.intake.reconcile import Reconciler
from responder.playbook.library import load_library
from responder.ports.store import NewDelivery
from tests.act_bed import Bed, Wall, open_bed, playbook_text
from tests.bed import ledger
from tests.bed.alerts import alert, instant, resolved, webhook
from tests.bed.proxy import Mode as Fault
from tests.bed.proxy import proxied
from tests.bed.servers import Alertmanager, alertmanager_config
from tests.bed.stores import embedded
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject

FIRING = alert(alertname="Overloaded")
INTERVAL = timedelta(seconds=30)
WAIT = INTERVAL + timedelta(seconds=60)
LONG = timedelta(hours=1)
NOBODY = "http://127.0.0.1:9/"  # the discard port: what Alertmanager itself sends is not wanted here
INHIBITION = [{"source_matchers": ['alertname="Cause"'], "target_matchers": ['alertname="Overloaded"']}]


class Seasoned(Witnesses):
    """Asks a real Alertmanager, and takes it as having been up for long unless told otherwise."""

    up: timedelta | None = LONG

    async def uptime(self, source: str) -> timedelta:
        real = await super().uptime(source)
        return real if self.up is None else self.up

    def forget(self) -> None:
        """Ask anew, as after a few seconds."""
        self._held.clear()
        self._failed.clear()


@dataclass
class Line:
    """Decide, act and reconcile on one store, with an Alertmanager to ask."""

    bed: Bed
    decider: Decider
    witness: Seasoned
    reconciler: Reconciler

    async def hear(self, body: JsonObject) -> None:
        """Take a delivery, and do what follows."""
        await self.bed.store.accept([NewDelivery(new_id(), "am", self.bed.store.now(), json.dumps(body).encode(), 1)])
        await self.work()

    async def work(self) -> None:
        """Take turns until nothing is due."""
        quiet = 0
        for _ in range(400):
            done = await self.decider.turn()
            claimed = await self.bed.store.claim_runs(16)
            for run in claimed:
                await take_turn(self.bed.engine, run)
            quiet = quiet + 1 if not done and not claimed else 0
            unfinished = [row for row in await self.rows("runs") if not row["finished_at"]]
            if quiet > 2 and not unfinished:
                return
            if not claimed and not done:
                # The store has no event for "due"; turns poll, as the workers do.
                await asyncio.sleep(0.02)

    async def later(self, by: timedelta = timedelta(seconds=16)) -> None:
        """Let time pass on the store's clock, look at the sender again, and do what follows."""
        self.bed.store.db.clock.anchor(self.bed.store.now() + by)  # type: ignore[attr-defined] # every store has one
        self.witness.forget()
        await self.reconciler.look()
        await self.work()

    async def rows(self, kind: str) -> Sequence[Mapping[str, object]]:
        return (await self.bed.store.page(kind, {}, 200, "")).items  # type: ignore[arg-type]  # one of the kinds

    async def verdicts(self) -> set[str]:
        """Return what was decided, and how runs ended."""
        decided = {str(row["verdict"]) for row in await self.rows("decisions")}
        return decided | {str(row["verdict"]) for row in await self.rows("runs")}

    async def states(self) -> list[str]:
        """Return the states of the episodes, the newest first."""
        return [str(row["state"]) for row in await self.rows("episodes")]


def loud(name: str, /, **fields: object) -> None:
    assert "crashed" not in name, f"{name} {fields}"
    assert name not in ("delivery_failed", "due_slice_failed"), f"{name} {fields}"


def _shelve(folder: Path) -> Path:
    folder.mkdir()
    (folder / "fix.yaml").write_text(playbook_text(), encoding="utf-8")
    return folder


@asynccontextmanager
async def asking(url: str, target: Target, api_url: str, folder: Path) -> AsyncIterator[Line]:
    """Open everything over one store and one Alertmanager."""
    target.resources["workers"] = {"workers": 4}
    bed = await open_bed(url, target.url)
    library = load_library([_shelve(folder)], catalogue(), None, {})
    for playbook in library.playbooks.values():
        bed.playbooks[playbook.revision] = playbook
    rules = Rules(max_mode=Mode.AUTO, asked=frozenset({"am"}), group_interval=INTERVAL)
    witness = Seasoned({"am": AlertmanagerSpec(api_url, {}, lambda: None)})
    bed.engine = replace(bed.engine, witness=witness)
    decider = Decider(
        bed.store, lambda: library, lambda: rules, lambda _, body: parse("alertmanager", body), on_fact=loud
    )
    reconciler = Reconciler(
        bed.store,
        witness,
        Wall(bed.store),
        group_interval=lambda: rules.group_interval,
        on_committed=lambda: None,
        on_fact=loud,
    )
    try:
        yield Line(bed, decider, witness, reconciler)
    finally:
        await witness.close()
        await bed.tools.close()
        await bed.store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return embedded(tmp_path / "r.db")
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def line(store_url: str, tmp_path: Path, target: Target, alertmanager: Alertmanager) -> AsyncIterator[Line]:
    config = {**alertmanager_config(NOBODY), "inhibit_rules": INHIBITION}
    await asyncio.to_thread(alertmanager.configure, config)
    async with asking(store_url, target, alertmanager.url, tmp_path / "playbooks") as opened:
        yield opened


async def fire(alertmanager: Alertmanager, *alerts: Mapping[str, object], ends_in: timedelta = LONG) -> None:
    """Hand Alertmanager alerts, as Prometheus does."""
    ends_at = instant(datetime.now(UTC) + ends_in)
    sent = [{**{key: one[key] for key in ("labels", "annotations", "startsAt")}, "endsAt": ends_at} for one in alerts]
    await asyncio.to_thread(alertmanager.post, sent)


async def end(alertmanager: Alertmanager, *alerts: Mapping[str, object]) -> None:
    """Let alerts end."""
    await fire(alertmanager, *alerts, ends_in=timedelta(seconds=-1))


def _inhibits_nothing(alertmanager: Alertmanager) -> bool:
    """Say whether it has seen by now that what inhibited others is over."""
    found = _request("GET", f"{alertmanager.url}/api/v2/alerts?active=false&silenced=false")
    return not found


def _request(method: str, url: str, body: object = None) -> JsonObject:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=5) as answer:  # noqa: S310 - our own server
        text = answer.read()
    found: JsonObject = json.loads(text) if text.strip() else {}
    return found


async def silence(alertmanager: Alertmanager) -> str:
    """Silence what is overloaded; returns the id."""
    now = datetime.now(UTC)
    body = {
        "matchers": [{"name": "alertname", "value": "Overloaded", "isRegex": False, "isEqual": True}],
        "startsAt": instant(now - timedelta(seconds=1)),
        "endsAt": instant(now + LONG),
        "createdBy": "test",
        "comment": "test",
    }
    made = await asyncio.to_thread(_request, "POST", f"{alertmanager.url}/api/v2/silences", body)
    return str(made["silenceID"])


async def unsilence(alertmanager: Alertmanager, silence_id: str) -> None:
    await asyncio.to_thread(_request, "DELETE", f"{alertmanager.url}/api/v2/silence/{silence_id}")


def effects(target: Target) -> int:
    return len(ledger.effects(target.ledger.entries, "workers"))


# --- the last look --------------------------------------------------------------------------------------------------


@pytest.mark.promise(12)
async def test_promise_12_no_forward_effect_starts_for_an_alert_that_is_silenced(
    line: Line, alertmanager: Alertmanager, target: Target
) -> None:
    await fire(alertmanager, FIRING)
    silence_id = await silence(alertmanager)
    await line.hear(webhook([FIRING]))
    assert "silenced" in await line.verdicts()
    await line.later()
    await line.later(timedelta(minutes=2))
    assert effects(target) == 0
    assert len(await line.rows("runs")) == 1, "a silence of hours is no reason for a run each half minute"
    assert await line.states() == ["open"]

    await unsilence(alertmanager, silence_id)
    await line.later()
    assert effects(target) == 1


@pytest.mark.promise(12)
async def test_promise_12_no_forward_effect_starts_for_an_alert_that_is_inhibited(
    line: Line, alertmanager: Alertmanager, target: Target
) -> None:
    cause = alert(alertname="Cause")
    await fire(alertmanager, FIRING, cause)
    await line.hear(webhook([FIRING]))
    assert "inhibited" in await line.verdicts()
    await line.later()
    assert effects(target) == 0

    await end(alertmanager, cause)
    await eventually(lambda: asyncio.to_thread(_inhibits_nothing, alertmanager))
    await line.later()
    assert effects(target) == 1


@pytest.mark.promise(12)
async def test_promise_12_no_forward_effect_starts_for_an_alert_that_is_no_longer_active(
    line: Line, alertmanager: Alertmanager, target: Target
) -> None:
    await line.hear(webhook([FIRING]))
    assert "not_active" in await line.verdicts()
    assert effects(target) == 0


async def test_an_active_alert_is_acted_on(line: Line, alertmanager: Alertmanager, target: Target) -> None:
    await fire(alertmanager, FIRING)
    await line.hear(webhook([FIRING]))
    assert effects(target) == 1
    assert "verified" in await line.verdicts()


async def test_of_several_alerts_on_a_target_one_that_is_active_is_enough(
    line: Line, alertmanager: Alertmanager, target: Target
) -> None:
    gone = alert(alertname="Overloaded", instance="gone")
    await fire(alertmanager, FIRING)
    await line.hear(webhook([gone, FIRING]))
    assert effects(target) == 1


async def test_while_alertmanager_is_down_nothing_is_done_and_when_it_is_back_it_is(
    store_url: str, tmp_path: Path, target: Target, alertmanager: Alertmanager
) -> None:
    await fire(alertmanager, FIRING)
    async with (
        proxied(alertmanager.url) as between,
        asking(store_url, target, between.through(alertmanager.url), tmp_path / "playbooks") as line,
    ):
        await between.switch(Fault.REFUSE)
        await line.hear(webhook([FIRING]))
        await line.later(timedelta(minutes=10))
        assert await line.verdicts() >= {"unconfirmed"}
        assert effects(target) == 0
        assert await line.states() == ["open"]

        await between.switch(Fault.PASS)
        await line.later(timedelta(seconds=61))
        assert effects(target) == 1


# --- what nobody told -----------------------------------------------------------------------------------------------


async def test_an_alert_whose_end_nobody_told_is_closed_after_a_while(
    line: Line, alertmanager: Alertmanager, target: Target
) -> None:
    await fire(alertmanager, FIRING)
    await line.hear(webhook([FIRING]))
    await end(alertmanager, FIRING)
    await line.later()
    assert await line.states() == ["open"]
    await line.later(WAIT / 2)
    assert await line.states() == ["open"]
    await line.later(WAIT)
    assert await line.states() == ["closed"]
    assert [row["status"] for row in await line.rows("incidents")] == ["resolved"]


async def test_an_empty_answer_after_a_restart_closes_nothing(
    line: Line, alertmanager: Alertmanager, target: Target
) -> None:
    line.witness.up = None  # what it really says: it was started a moment ago
    await line.hear(webhook([FIRING]))
    for _ in range(3):
        await line.later(WAIT)
    assert await line.states() == ["open"]


async def test_an_alert_that_went_on_while_it_was_missing_goes_on(
    line: Line, alertmanager: Alertmanager, target: Target
) -> None:
    await line.hear(webhook([FIRING]))
    await line.later()
    await fire(alertmanager, FIRING)
    await line.later(WAIT)
    await line.later(WAIT)
    assert await line.states() == ["open"]
    assert effects(target) == 1


async def test_what_alertmanager_shows_is_evidence(line: Line, alertmanager: Alertmanager, target: Target) -> None:
    """Heard once and repeated every four hours: without the API it would be too old to act on after 30 minutes."""
    store = line.bed.store
    await fire(alertmanager, FIRING)
    await store.pause(Pause("p1", "pause", "all", "a release", "oncall", store.now()))
    await line.hear(webhook([FIRING]))
    for _ in range(3):
        await line.later(timedelta(minutes=25))
    assert effects(target) == 0
    await store.resume("p1", "oncall")
    await line.work()
    assert effects(target) == 1


async def test_a_late_firing_notice_counts_when_alertmanager_shows_the_alert(
    line: Line, alertmanager: Alertmanager, target: Target
) -> None:
    await line.hear(webhook([FIRING]))
    await line.hear(webhook([resolved(FIRING)]))
    await line.hear(webhook([FIRING]))
    assert await line.states() == ["late"]
    await fire(alertmanager, FIRING)
    await line.later()
    assert await line.states() == ["open"]
    assert effects(target) == 1


async def test_a_late_firing_notice_of_an_alert_that_is_gone_is_forgotten(
    line: Line, alertmanager: Alertmanager, target: Target
) -> None:
    await line.hear(webhook([FIRING]))
    await line.hear(webhook([resolved(FIRING)]))
    await line.hear(webhook([FIRING]))
    await line.later(WAIT + timedelta(seconds=1))
    assert await line.states() == ["closed"]
    assert effects(target) == 0


async def test_a_group_that_was_cut_short_is_completed(line: Line, alertmanager: Alertmanager, target: Target) -> None:
    group = [alert(alertname="Unheard", instance=f"i{number}") for number in range(4)]
    await fire(alertmanager, *group, alert(alertname="Another"))
    await line.hear(webhook(group, max_alerts=1))
    assert await line.states() == ["open"]
    await line.later()
    assert await line.states() == ["open"] * 4
    assert len(await line.rows("incidents")) == 1
    deliveries = len(await line.rows("deliveries"))
    await line.later()
    assert len(await line.rows("deliveries")) == deliveries, "once is enough"
    assert await line.bed.store.cut_groups("am", 10) == []
