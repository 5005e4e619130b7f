"""What ``alertmanager.silence`` and ``alertmanager.status`` promise beyond the suite, on a real Alertmanager."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from responder.actions.alertmanager_silence import AlertmanagerSilence
from responder.domain.errors import Moved, Permanent
from responder.ports.action import Landed
from responder.probes.alertmanager_status import AlertmanagerStatus
from tests.bed.servers import Alertmanager
from tests.bed.waiting import eventually
from tests.conformance.action_bed import applied, intended, landed
from tests.conformance.bed_alertmanager import SHAPES, TARGET, AlertmanagerBed, on


@pytest.fixture
async def bed(silencing_alertmanager: Alertmanager) -> AsyncIterator[AlertmanagerBed]:
    async with on(silencing_alertmanager.url) as one:
        yield one


async def test_a_silence_is_bounded_from_its_record_on_and_says_whose_it_is(bed: AlertmanagerBed) -> None:
    action = SHAPES["silence"].make()
    record = await applied(action, bed.tools, TARGET)
    ours = [one for one in await bed.silences() if one["createdBy"] == "responder" and one["id"] not in bed._before]
    ends_at = datetime.fromisoformat(ours[0]["endsAt"])
    assert abs(ends_at - record.created_at - timedelta(minutes=30)) < timedelta(seconds=1)
    assert ours[0]["comment"] == f"rebuilding [run {record.run_id}, {record.key('do')}]"


async def test_what_somebody_has_silenced_meanwhile_is_planned_again_and_their_silence_stays(
    bed: AlertmanagerBed,
) -> None:
    action = SHAPES["silence"].make()
    record = await intended(action, bed.tools, TARGET)
    await bed.silence("Lag")
    with pytest.raises(Moved, match="ana"):
        await action.apply(TARGET, record, bed.tools)
    again = await intended(action, bed.tools, TARGET)
    assert again.before == again.planned, "there is nothing to do, and so nothing to undo"


async def test_a_send_that_comes_after_its_time_is_refused(bed: AlertmanagerBed) -> None:
    action = SHAPES["silence"].make()
    record = await intended(action, bed.tools, TARGET)
    late = replace(record, created_at=datetime.now(UTC) - timedelta(hours=1))
    with pytest.raises(Permanent):
        await action.apply(TARGET, late, bed.tools)
    assert await landed(action, late, "do", bed.tools) is Landed.NO


@pytest.mark.parametrize(
    ("matchers", "duration", "why"),
    [
        (['severity=~".*"'], "1h", "may silence everything"),
        (['alertname!="x"'], "1h", "may silence everything"),
        (['team=""'], "1h", "may silence everything"),
        (['alertname="x", a="b"'], "1h", "expected 1 matcher"),
        (['alertname="x"'], "25h", "24h"),
        (['alertname="x"'], "0s", "24h"),
        ([], "1h", "at least 1"),
    ],
)
def test_a_silence_that_is_too_wide_or_too_long_is_refused(matchers: list[str], duration: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        AlertmanagerSilence.model_validate({"source": "main", "matchers": matchers, "for": duration})


async def test_alerts_silences_and_peers_are_counted(
    bed: AlertmanagerBed, silencing_alertmanager: Alertmanager
) -> None:
    labels = [{"alertname": "Counted", "number": str(number)} for number in range(3)]
    ends_at = (datetime.now(UTC) + timedelta(seconds=20)).isoformat()
    await asyncio.to_thread(silencing_alertmanager.post, [{"labels": one, "endsAt": ends_at} for one in labels])

    async def read(figure: str, *matchers: str) -> float:
        probe = AlertmanagerStatus.model_validate({"source": "main", "read": figure, "matchers": matchers})
        (value,) = (await probe.look({}, bed.tools)).values
        return float(value)

    async def shown() -> bool:
        return await read("active", 'alertname="Counted"') == 3

    await eventually(shown)
    assert await read("active", 'alertname="Counted"', 'number=~"1|2"') == 2
    assert await read("silenced", 'alertname="Counted"') == 0
    assert await read("silences") == 1
    assert await read("peers") == 0
