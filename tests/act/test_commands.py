"""A command that takes longer than a turn waits for it: the run looks again until it has ended, both ways."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from responder.clients.hosts import LocalHost
from responder.clients.toolbox import HostSpec, HttpSpec, Toolbox
from responder.domain.runs import RunState
from tests.act_bed import Bed, needs_person, open_bed
from tests.bed.ledger_command import entries
from tests.bed.stores import embedded
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually
from tests.conformance.bed_command import commands

TEXT = """\
schema: 1
name: set-it
summary: Set it.
mode: auto
matchers:
  - alertname="Overloaded"
target: host/here/it
steps:
  - id: set
    timeout: 30s
    command.run:
      command: unknown
      with: { item: it, value: busy }
verify:
  - name: as wanted
    probe: http.get
    with: { service: checkout, path: /admin/workers, pointer: /workers }
    equals: WANTED
    within: 200ms
"""


@pytest.fixture
async def bed(tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bed]:
    soon = timedelta(milliseconds=50)
    for place in ("ends.WHILE", "during.LANDING_GRACE", "after.LANDING_GRACE"):
        monkeypatch.setattr(f"responder.act.{place}", soon)
    target.resources["workers"] = {"workers": 4}
    opened = await open_bed(embedded(tmp_path / "r.db"), target.url)
    http = {"checkout": HttpSpec(target.url, ("* /*",), {}, lambda: None, timedelta(seconds=3))}
    known = commands(tmp_path / "ledger.jsonl")
    tools = Toolbox(http, {}, hosts={"here": HostSpec(tmp_path / "journals")}, commands=known)
    tools._hosts["here"] = LocalHost("here", tmp_path / "journals", known, patience=0.1)
    opened.tools, opened.engine = tools, replace(opened.engine, tools=tools)
    yield opened
    await tools.close()
    await opened.store.close()


@pytest.mark.parametrize(("wanted", "end", "values"), [(4, "verified", ["busy"]), (9, "rolled_back", ["busy", "idle"])])
async def test_what_is_under_way_is_waited_for_and_happens_once(
    bed: Bed, tmp_path: Path, wanted: int, end: str, values: list[str]
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    fault, go = ledger.with_suffix(".fault"), ledger.with_suffix(".go")
    fault.write_text("slow", encoding="utf-8")
    run = await bed.begin(TEXT.replace("WANTED", str(wanted)), target="host/here/it")
    working = asyncio.create_task(bed.work(run, turns=2000))
    await eventually(lambda: len(bed.said("effect_uncertain")) == 1)
    await asyncio.sleep(0.5)  # several looks: none of them is the last one
    current = await bed.store.run(run.id)
    assert current is not None
    assert current.state is RunState.ACTING
    assert entries(ledger) == []
    if end == "rolled_back":
        fault.write_text("slow", encoding="utf-8")  # the undo takes its time as well
    go.touch()
    ended = await working
    assert ended.state.value == end, ended.reason
    assert [line["value"] for line in entries(ledger)] == values
    (record,) = (await bed.store.page("records", {"run": run.id}, 5, "")).items
    assert record["state"] == ("applied" if end == "verified" else "undone")


@pytest.mark.parametrize("fault", ["odd", "slow"])
async def test_an_undo_that_failed_is_told_with_its_exit_code_and_what_it_said(
    bed: Bed, tmp_path: Path, fault: str
) -> None:
    """Seen to end at once, or only by whoever looked again."""
    told = tmp_path / "ledger.fault"
    run = await bed.begin(TEXT.replace("WANTED", "9"), target="host/here/it")
    run = await bed.work(run, until=frozenset({RunState.VERIFYING}))
    told.write_text(f"{fault} odd" if fault == "slow" else fault, encoding="utf-8")
    working = asyncio.create_task(bed.work(run, turns=2000))
    if fault == "slow":
        await eventually(lambda: len(bed.said("effect_uncertain")) == 1)
        (tmp_path / "ledger.go").touch()
    ended = await working
    (record,) = (await bed.store.page("records", {"run": run.id}, 5, "")).items
    assert (ended.state, record["state"]) == (RunState.UNKNOWN, "undo_uncertain")
    for text in (str(record["message"]), ended.reason, await needs_person(bed, ended)):
        assert "here: it ended with 9, of which nobody has said what it means: setting it with" in text
