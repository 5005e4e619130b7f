"""What is found out beside the telling: bounded, cleaned, and never in anybody's way."""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from responder.app import catalogue
from responder.clients.toolbox import HttpSpec, Toolbox
from responder.domain.errors import Permanent
from responder.domain.findings import Finding
from responder.domain.notification import Account
from responder.domain.verdicts import Verdict
from responder.playbook.model import Playbook
from responder.playbook.schema import load_playbook
from responder.ports.findings import Announced, Nearby, PastRun, Touched
from responder.ports.probe import Reading
from responder.tell.diagnosis import said
from responder.tell.enrich import Enricher, Look, Scene
from tests.bed.target_peer import Target
from tests.unit.tell.stories import RAN, START, STORIES, Story, account, at, decision

TELLS = """\
name: checkout-workers
matchers:
  - service="checkout"
diagnose:
  - name: workers
    http.get:
      service: "{{ labels.service }}"
      path: /admin/workers
      pointer: /workers
"""


@dataclass
class Held:
    """A store of one incident."""

    account: Account
    kept: list[Finding] = field(default_factory=list)
    again: list[timedelta | None] = field(default_factory=list)
    waiting: list[str] = field(default_factory=lambda: ["i1"])

    async def accounts(self, incident_ids: Collection[str]) -> Mapping[str, Account]:
        return {"i1": replace(self.account, findings=tuple(self.kept))}

    async def claim_looks(self, limit: int) -> Sequence[str]:
        claimed, self.waiting = self.waiting, []
        return claimed

    async def looked(self, incident_id: str, found: Sequence[Finding], again: timedelta | None) -> bool:
        self.kept += found
        self.again.append(again)
        return True

    async def found(self, incident_id: str, found: Sequence[Finding]) -> bool:
        self.kept += found
        return True

    async def past(self, playbook: str, since: datetime) -> Sequence[PastRun]:
        return ()

    async def nearby(self, incident_id: str, since: datetime) -> Sequence[Nearby]:
        return ()

    async def touched(self, since: datetime, until: datetime) -> Sequence[Touched]:
        return ()

    async def announced(self, since: datetime, until: datetime) -> Sequence[Announced]:
        return ()


class Clock:
    def now(self) -> datetime:
        return at(5)

    def monotonic(self) -> float:
        return time.monotonic()


def enricher(held: Held, tools: Toolbox, *, looks: Sequence[Look] = (), seconds: float = 5.0) -> Enricher:
    playbook: Playbook = load_playbook(TELLS, "p.yaml", catalogue(), None)
    return Enricher(
        held, held, Clock(), tools,
        playbook_for=lambda _, __: playbook,
        clean=lambda text: text.replace("hunter2", "<secret>"),
        on_fact=lambda *_, **__: None,
        looks=looks,
        seconds=seconds,
    )  # fmt: skip


async def looked(one: Enricher) -> None:
    assert await one.turn() == 1
    async with asyncio.timeout(5):
        await asyncio.gather(*one._tasks)


TOLD = account(decisions=(decision(Verdict.TOLD),))


async def test_a_playbook_that_only_tells_is_diagnosed_once_with_the_alerts_values(target: Target) -> None:
    target.resources["workers"] = {"workers": "hunter2"}
    tools = Toolbox({"checkout": HttpSpec(target.url, ("GET /*",), {}, lambda: None, timedelta(seconds=3))}, {})
    held = Held(TOLD)
    await looked(enricher(held, tools))
    assert [one.text for one in held.kept] == ["workers: <secret>"]
    news = Story(replace(TOLD, findings=tuple(held.kept)), at(9)).told()
    assert ("diagnose", "workers: <secret>") in news.notes
    held.waiting = ["i1"]
    await looked(enricher(held, tools))
    assert len(held.kept) == 1
    await tools.close()


async def test_where_a_run_has_looked_nobody_looks_again(target: Target) -> None:
    held = Held(STORIES["fixed"].account)
    await looked(enricher(held, Toolbox({}, {})))
    assert held.kept == []


async def test_what_cannot_be_looked_at_says_so_in_its_place() -> None:
    held = Held(TOLD)
    await looked(enricher(held, Toolbox({}, {})))
    (one,) = held.kept
    assert one.text.startswith("workers: could not be looked at: ")


async def test_what_takes_too_long_or_fails_costs_only_itself() -> None:
    async def slow(_: Scene) -> Sequence[Finding]:
        await asyncio.sleep(60)
        return ()

    async def broken(_: Scene) -> Sequence[Finding]:
        raise Permanent("no")

    async def good(_: Scene) -> Sequence[Finding]:
        return (Finding("past", START, "14 runs"),)

    held = Held(account(decisions=(RAN,)))
    began = time.monotonic()
    await looked(enricher(held, Toolbox({}, {}), looks=(slow, broken, good), seconds=0.1))
    assert time.monotonic() - began < 2
    assert "14 runs" in [one.text for one in held.kept]


async def test_it_is_looked_at_again_while_it_is_open_and_not_when_it_is_over() -> None:
    for name, again in (("firing", timedelta(minutes=1)), ("resolved", None)):
        held = Held(STORIES[name].account)
        await looked(enricher(held, Toolbox({}, {})))
        assert held.again == [again]


def test_a_reading_is_a_line_and_what_is_long_is_a_body() -> None:
    assert said(Reading(())) == ("no data", "")
    assert said(Reading((3.0, True, "on"), "OOMKilled api-1")) == ("3, yes, on (OOMKilled api-1)", "")
    line, body = said(Reading(tuple(float(n) for n in range(9)), "w" * 900))
    assert line.startswith("0, 1, 2, 3, 4, 5, 3 more (www")
    assert body == "w" * 900
