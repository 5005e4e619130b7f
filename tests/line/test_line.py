"""The straight line without the web: bodies in the inbox, decided, acted on, judged by the target's ledger."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from responder.act.actor import take_turn
from responder.app import catalogue
from responder.decide.decider import Decider
from responder.decide.rules import Rules
from responder.domain.ids import new_id
from responder.domain.modes import Mode
from responder.domain.runs import RunState
from responder.intake.formats import parse
from responder.playbook.library import load_library
from responder.ports.store import NewDelivery
from tests.act_bed import Bed, open_bed, playbook_text
from tests.bed import ledger
from tests.bed.alerts import alert, resolved, webhook
from tests.bed.stores import embedded
from tests.bed.target_peer import Target


class Line:
    """Decide and act on one store."""

    def __init__(self, bed: Bed, decider: Decider) -> None:
        self.bed = bed
        self.decider = decider

    async def deliver(self, *bodies: object) -> None:
        now = self.bed.store.now()
        await self.bed.store.accept(
            [NewDelivery(new_id(), "am", now, json.dumps(body).encode(), 1) for body in bodies],
        )

    async def work(self, turns: int = 300) -> None:
        """Take turns until nothing is due."""
        quiet = 0
        for _ in range(turns):
            done = await self.decider.turn()
            claimed = await self.bed.store.claim_runs(16)
            for run in claimed:
                await take_turn(self.bed.engine, run)
            quiet = quiet + 1 if not done and not claimed else 0
            page = await self.bed.store.page("runs", {}, 100, "")
            open_runs = [row for row in page.items if not row["finished_at"]]
            if quiet > 3 and not open_runs:
                return
            if not claimed and not done:
                # The store has no event for "due"; turns poll, as the workers do.
                await asyncio.sleep(0.02)

    async def runs(self) -> list[str]:
        page = await self.bed.store.page("runs", {}, 200, "")
        return [str(row["state"]) for row in page.items]

    async def verdicts(self) -> set[str]:
        page = await self.bed.store.page("decisions", {}, 200, "")
        return {str(row["verdict"]) for row in page.items}


@pytest.fixture(params=["sqlite", "postgresql"])
async def line(request: pytest.FixtureRequest, tmp_path: Path, target: Target) -> AsyncIterator[Line]:
    url = embedded(tmp_path / "r.db") if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    target.resources["workers"] = {"workers": 4}
    bed = await open_bed(url, target.url)
    folder = tmp_path / "playbooks"
    folder.mkdir()
    (folder / "fix.yaml").write_text(playbook_text(), encoding="utf-8")
    library = load_library([folder], catalogue(), None, {})
    assert not library.complaints, library.complaints
    for playbook in library.playbooks.values():
        bed.playbooks[playbook.revision] = playbook
    rules = Rules(max_mode=Mode.AUTO)
    decider = Decider(
        bed.store, lambda: library, lambda: rules, lambda _, body: parse("alertmanager", body), on_fact=_ignore
    )
    yield Line(bed, decider)
    await bed.tools.close()
    await bed.store.close()


def _ignore(name: str, /, **fields: object) -> None:
    if "failed" in name or "crashed" in name:
        raise AssertionError(f"{name} {fields}")


@pytest.mark.promise(2)
async def test_an_alert_is_fixed_once_however_often_it_is_delivered(line: Line, target: Target) -> None:
    firing = alert(alertname="Overloaded")
    await line.deliver(*[webhook([firing])] * 5)
    await line.work()
    await line.deliver(*[webhook([firing])] * 5)
    await line.work()
    assert await line.runs() == ["verified"]
    assert len(ledger.effects(target.ledger.entries, "workers")) == 1


async def test_alerts_on_one_target_join_one_run(line: Line, target: Target) -> None:
    await line.deliver(webhook([alert(alertname="Overloaded", instance=f"i{n}") for n in range(30)]))
    await line.work()
    assert await line.runs() == ["verified"]
    assert len(ledger.effects(target.ledger.entries, "workers")) == 1


async def test_a_resolved_alert_closes_its_incident(line: Line, target: Target) -> None:
    firing = alert(alertname="Overloaded")
    await line.deliver(webhook([firing]))
    await line.work()
    await line.deliver(webhook([resolved(firing)]))
    await line.work()
    page = await line.bed.store.page("incidents", {}, 10, "")
    assert [row["status"] for row in page.items] == ["resolved"]


async def test_an_alert_without_a_playbook_has_a_decision_that_says_so(line: Line, target: Target) -> None:
    await line.deliver(webhook([alert(alertname="Unheard")]))
    await line.work()
    assert await line.verdicts() == {"no_match"}
    assert await line.runs() == []
    assert target.ledger.entries == []


async def test_a_step_that_fails_asks_a_person_when_nothing_else_applies(line: Line, target: Target) -> None:
    target.fault("422")
    await line.deliver(webhook([alert(alertname="Overloaded")]))
    await line.work()
    assert await line.runs() == [RunState.FAILED.value]
    page = await line.bed.store.page("incidents", {}, 10, "")
    assert [bool(row["needs_person"]) for row in page.items] == [True]
    assert ledger.effects(target.ledger.entries, "workers") == []
