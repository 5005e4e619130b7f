"""How a run leaves its way."""

from datetime import UTC, datetime, timedelta

import pytest

from responder.act.ends import refused
from responder.domain.limits import Refusal, Usage
from responder.domain.runs import Context, RunState
from responder.domain.verdicts import Verdict
from responder.ports.store import Standing
from tests.unit.tell.stories import run

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
STANDING = Standing(
    firing=True,
    evidence_at=NOW,
    pauses=(),
    approval=None,
    records=(),
    busy="",
    quarantined="",
    usage=Usage(),
    now=NOW,
)


@pytest.mark.parametrize(("skipped", "waits"), [(0, 30), (1, 60), (2, 60), (5_000, 60)])
def test_what_may_pass_by_itself_is_looked_at_ever_more_slowly(skipped: int, waits: int) -> None:
    looked = run(RunState.CHECKING, context=Context(skipped=skipped))
    end = refused(looked, Refusal(Verdict.CONDITION_UNKNOWN, "no data"), STANDING).end
    assert end is not None
    assert end.retry_at == NOW + timedelta(seconds=waits)


def test_what_says_itself_when_it_is_over_is_looked_at_then() -> None:
    again = NOW + timedelta(seconds=90)
    looked = run(RunState.CHECKING, context=Context(skipped=9))
    end = refused(looked, Refusal(Verdict.BUSY, "busy", again), STANDING).end
    assert end is not None
    assert end.retry_at == again
