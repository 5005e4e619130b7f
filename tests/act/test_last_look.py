"""Promise 12: the last look at Alertmanager before a change, whatever Alertmanager does."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from aiohttp import web

from responder.act.actor import take_turn
from responder.clients import alertmanager as client
from responder.clients.witnesses import AlertmanagerSpec, Witnesses
from responder.domain.alerts import Alert, Shown
from responder.domain.episodes import Group
from responder.domain.errors import Temporary
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.ports.store import RunStore
from responder.ports.witness import Picture
from tests.act_bed import SECOND_STEP, Bed, playbook_text
from tests.bed import ledger
from tests.bed.target_peer import Target
from tests.bed.web import JsonObject, cut, serving

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
OVERLOADED = {"alertname": "Overloaded"}


@dataclass
class Scripted:
    """A sender that shows what the test says; an empty ``error`` means that it answers."""

    shown: dict[str, Shown] = field(default_factory=dict)
    error: str = ""
    asked: int = 0
    age: float = 0.0
    sources: Collection[str] = ("am",)
    then: list[Mapping[str, Shown] | str] = field(default_factory=list)
    """What it shows from the second question on, one entry for each; the last one stays."""

    async def picture(self, source: str, within: float | None = None) -> Picture:
        self.asked += 1
        if self.asked > 1 and self.then:
            following = self.then.pop(0)
            self.error = following if isinstance(following, str) else ""
            self.shown = self.shown if isinstance(following, str) else dict(following)
        if self.error:
            raise Temporary(self.error)
        return Picture({key: _alert(key, shown) for key, shown in self.shown.items()}, time.monotonic() - self.age)

    async def group(self, group: Group) -> Sequence[Alert]:
        raise AssertionError("act asks for no group")

    async def silences_of(self, source: str, run_id: str) -> Collection[str]:
        raise AssertionError("nobody has silenced anything by an action")

    async def uptime(self, source: str) -> timedelta:
        raise AssertionError("act does not ask for the uptime")


def _alert(fingerprint: str, shown: Shown) -> Alert:
    return Alert("firing", OVERLOADED, {}, _START, None, "", fingerprint, shown)


_START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def asks(bed: Bed, witness: Scripted | Witnesses) -> None:
    bed.engine = replace(bed.engine, witness=witness)


def effects(target: Target) -> int:
    return len(ledger.effects(target.ledger.entries, "workers"))


async def one_turn(bed: Bed, text: str, witness: Scripted, *, of: Shown | None = Shown.ACTIVE, more: int = 1) -> Run:
    """Begin a run whose alert is shown as ``of``, and work on it until it ends or waits."""
    asks(bed, witness)
    run = await bed.begin(text, episodes=more)
    if of is not None:
        witness.shown[run.context.fingerprint] = of
    [claimed] = await bed.store.claim_runs(1)
    await take_turn(bed.engine, claimed)
    found = await bed.store.run(run.id)
    assert found is not None
    return found


# --- what it shows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "verdict"),
    [
        (Shown.SILENCED, Verdict.SILENCED),
        (Shown.INHIBITED, Verdict.INHIBITED),
        (Shown.UNCLEAR, Verdict.UNCONFIRMED),
        (None, Verdict.NOT_ACTIVE),
    ],
)
async def test_what_is_not_active_is_not_acted_on_and_looked_at_again(
    bed: Bed, target: Target, shown: Shown | None, verdict: Verdict
) -> None:
    run = await one_turn(bed, playbook_text(), Scripted(), of=shown)
    assert (run.state, run.verdict) == (RunState.SKIPPED, verdict)
    assert bed.said("episodes_due")
    assert target.ledger.entries == []


async def test_an_observing_run_says_the_same(bed: Bed, target: Target) -> None:
    run = await one_turn(bed, playbook_text(mode="observe"), Scripted(), of=Shown.SILENCED)
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.SILENCED)


async def test_an_active_alert_is_acted_on(bed: Bed, target: Target) -> None:
    await one_turn(bed, playbook_text(), Scripted())
    assert effects(target) == 1


async def test_a_sender_without_an_api_is_believed_as_before(bed: Bed, target: Target) -> None:
    witness = Scripted(sources=("another",))
    await one_turn(bed, playbook_text(), witness, of=None)
    assert effects(target) == 1
    assert witness.asked == 0


async def test_an_answer_that_is_too_old_is_none(bed: Bed, target: Target) -> None:
    run = await one_turn(bed, playbook_text(), Scripted(age=6.0))
    assert run.verdict is Verdict.UNCONFIRMED
    assert effects(target) == 0


# --- between the checks and the change ------------------------------------------------------------------------------


@pytest.mark.parametrize("when", [0, 1])
async def test_a_silence_set_after_the_checks_is_seen_before_the_change(bed: Bed, target: Target, when: int) -> None:
    witness = Scripted()
    asks(bed, witness)
    run = await bed.begin(playbook_text())
    key = run.context.fingerprint
    witness.shown = {key: Shown.ACTIVE}
    witness.then = [*[{key: Shown.ACTIVE}] * when, {key: Shown.SILENCED}]
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.SILENCED)
    assert witness.asked == 2 + when
    assert effects(target) == 0


async def test_a_silence_set_between_two_steps_leaves_the_second_out_and_checks_the_first(
    bed: Bed, target: Target
) -> None:
    witness = Scripted()
    asks(bed, witness)
    run = await bed.begin(playbook_text(more_steps=SECOND_STEP))
    key = run.context.fingerprint
    witness.shown = {key: Shown.ACTIVE}
    witness.then = [{key: Shown.ACTIVE}, {key: Shown.ACTIVE}, {key: Shown.SILENCED}]
    run = await bed.work(run)
    assert run.state is RunState.VERIFIED, run.reason
    assert effects(target) == 1
    assert ledger.effects(target.ledger.entries, "cache") == []


async def test_when_nobody_can_tell_between_two_steps_the_second_waits(bed: Bed, target: Target) -> None:
    witness = Scripted()
    asks(bed, witness)
    run = await bed.begin(playbook_text(more_steps=SECOND_STEP))
    key = run.context.fingerprint
    witness.shown = {key: Shown.ACTIVE}
    active = {key: Shown.ACTIVE}
    witness.then = [active, active, "down", active]
    run = await bed.work(run, turns=600)
    assert run.state is RunState.VERIFIED, run.reason
    assert len(ledger.effects(target.ledger.entries, "cache")) == 1


class Died(BaseException):
    """The process ended here; nothing of ours catches it."""


class DiesAtSettle:
    """A store whose process ends between a change and writing down what became of it."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed

    def __getattr__(self, name: str) -> object:
        return getattr(self._bed.store, name)

    async def intend(self, *arguments: object) -> None:
        await self._bed.store.intend(*arguments)  # type: ignore[arg-type]  # passed through
        raise Died


async def test_a_change_that_a_dead_turn_wrote_down_is_not_made_for_a_silenced_alert(bed: Bed, target: Target) -> None:
    witness = Scripted()
    asks(bed, witness)
    run = await bed.begin(playbook_text())
    witness.shown = {run.context.fingerprint: Shown.ACTIVE}
    [claimed] = await bed.store.claim_runs(1)
    with pytest.raises(Died):
        await take_turn(replace(bed.engine, store=cast("RunStore", DiesAtSettle(bed))), claimed)
    found = await bed.store.run(run.id)
    assert found is not None
    witness.shown = {run.context.fingerprint: Shown.SILENCED}
    run = await take_turn(bed.engine, found)
    assert run.state is RunState.ACTING
    assert effects(target) == 0


# --- several alerts -------------------------------------------------------------------------------------------------


async def test_of_several_alerts_one_that_is_active_is_enough(bed: Bed, target: Target) -> None:
    await one_turn(bed, playbook_text(), Scripted(), of=Shown.ACTIVE, more=3)
    assert effects(target) == 1


async def test_a_run_with_no_active_alert_is_silenced_when_one_of_them_is(bed: Bed, target: Target) -> None:
    run = await one_turn(bed, playbook_text(), Scripted(), of=Shown.SILENCED, more=3)
    assert run.verdict is Verdict.SILENCED


# --- whatever Alertmanager does -------------------------------------------------------------------------------------


def _text(text: str, status: int = 200) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, content_type="application/json")

    return answer


async def _hang(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _reset(request: web.Request) -> web.StreamResponse:
    return cut(request)


async def _elsewhere(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/somewhere")


def _of_another() -> str:
    return json.dumps([_as_api("0123456789abcdef")])


def _as_api(fingerprint: str, **status: object) -> JsonObject:
    return {
        "fingerprint": fingerprint,
        "labels": OVERLOADED,
        "annotations": {},
        "startsAt": "2026-01-05T12:00:00.000Z",
        "status": {"state": "active", "silencedBy": [], "inhibitedBy": [], **status},
    }


@contextlib.asynccontextmanager
async def answering(bed: Bed, answer: Answer) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    async with serving(app) as url:
        witness = Witnesses({"am": AlertmanagerSpec(url, {}, lambda: None)})
        asks(bed, witness)
        try:
            yield
        finally:
            await witness.close()


@pytest.mark.promise(12)
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(_text("[]"), id="empty"),
        pytest.param(_text(_of_another()), id="another alert"),
        pytest.param(_text("[]", 500), id="500"),
        pytest.param(_text(_of_another(), 500), id="500 with an answer"),
        pytest.param(_text("", 204), id="204"),
        pytest.param(_text("<html>sign in</html>"), id="a page"),
        pytest.param(_text("nonsense"), id="garbage"),
        pytest.param(_text(_of_another()[:-5]), id="cut short"),
        pytest.param(_text("{}"), id="another shape"),
        pytest.param(_text('{"status": "success", "data": []}'), id="the old API"),
        pytest.param(_hang, id="slow"),
        pytest.param(_reset, id="reset"),
        pytest.param(_elsewhere, id="redirect"),
    ],
)
async def test_promise_12_whatever_alertmanager_answers_nothing_is_changed_that_it_does_not_show_as_active(
    bed: Bed, target: Target, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TIMEOUT_SECONDS", 0.2)
    async with answering(bed, answer):
        run = await bed.work(await bed.begin(playbook_text()))
    assert run.state is RunState.SKIPPED
    assert run.verdict in (Verdict.UNCONFIRMED, Verdict.NOT_ACTIVE)
    assert target.ledger.entries == []
