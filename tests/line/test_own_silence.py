"""A run that silences its own alert in a real Alertmanager: it goes on, and still learns when the alert has ended."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from responder.clients.toolbox import HttpSpec, Toolbox
from responder.clients.witnesses import AlertmanagerSpec
from tests.act_bed import playbook_text
from tests.bed.alerts import webhook
from tests.bed.servers import Alertmanager, alertmanager_config
from tests.bed.stores import embedded
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually
from tests.line.test_reconcile import FIRING, NOBODY, WAIT, Line, _request, asking, effects, end, fire, silence

QUIET = """\
  - id: quiet
    alertmanager.silence:
      source: am
      matchers:
        - alertname="Overloaded"
      for: 1h
      comment: workers are being added
  - id: add
"""


def _tools(line: Line, target: Target, alertmanager: Alertmanager) -> None:
    http = {"checkout": HttpSpec(target.url, ("* /*",), {}, lambda: None, timedelta(seconds=3))}
    tools = Toolbox(http, {}, alertmanagers={"am": AlertmanagerSpec(alertmanager.url, {}, lambda: None)})
    line.bed.tools = tools
    line.bed.engine = replace(line.bed.engine, tools=tools)


async def _silenced(alertmanager: Alertmanager) -> list[str]:
    """Return who has silenced what still is."""
    found = await asyncio.to_thread(_request, "GET", f"{alertmanager.url}/api/v2/silences")
    return [str(one["createdBy"]) for one in found if one["status"]["state"] == "active"]  # type: ignore[index] # a list


async def _suppressed(alertmanager: Alertmanager) -> bool:
    found = await asyncio.to_thread(_request, "GET", f"{alertmanager.url}/api/v2/alerts")
    return [one["status"]["state"] for one in found] == ["suppressed"]  # type: ignore[index] # a list


@pytest.mark.parametrize("somebody_else", [False, True])
async def test_a_run_goes_on_under_its_own_silence_and_the_end_of_its_alert_is_noticed(
    tmp_path: Path,
    target: Target,
    alertmanager: Alertmanager,
    monkeypatch: pytest.MonkeyPatch,
    somebody_else: bool,  # noqa: FBT001 - a parameter
) -> None:
    """No notice comes of an alert that ends while it is silenced, so absence from one says nothing: it is asked for."""
    text = playbook_text().replace("  - id: add\n", QUIET)
    monkeypatch.setattr("tests.line.test_reconcile.playbook_text", lambda: text)
    await asyncio.to_thread(alertmanager.configure, alertmanager_config(NOBODY))
    async with asking(embedded(tmp_path / "r.db"), target, alertmanager.url, tmp_path / "playbooks") as line:
        _tools(line, target, alertmanager)
        await fire(alertmanager, FIRING)
        http = line.bed.tools.http("checkout")
        call = http.call

        async def slowly(method: str, path: str, *given: object, **named: object) -> object:
            if method == "GET" and await _silenced(alertmanager):
                if somebody_else and "test" not in await _silenced(alertmanager):
                    await silence(alertmanager)
                await eventually(lambda: _suppressed(alertmanager))
                line.witness.forget()
            return await call(method, path, *given, **named)  # type: ignore[arg-type] # handed on

        monkeypatch.setattr(http, "call", slowly)
        await line.hear(webhook([FIRING]))
        if somebody_else:
            assert effects(target) == 0, "a person has silenced it: no further step"
            return
        assert effects(target) == 1
        assert await line.verdicts() >= {"verified"}
        assert await _silenced(alertmanager) == ["responder"]
        await line.later()
        await line.hear(webhook([]))
        assert await line.states() == ["open"], "it is silenced, and fires"

        await end(alertmanager, FIRING)
        await line.later()
        await line.later(WAIT)
        await line.later(WAIT)
        assert await line.states() == ["closed"]
