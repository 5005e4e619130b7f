"""A run whose metrics say nothing: the change is kept, nothing counts as verified, and a person is asked."""

import math
from pathlib import Path

import pytest

from responder.domain.ids import new_id
from responder.domain.runs import RunState
from responder.domain.verdicts import Verdict
from tests.act_bed import open_bed, playbook_text
from tests.bed.servers import Prometheus
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually


@pytest.mark.promise(15)
@pytest.mark.parametrize("silence", ["nan", "stale", "empty", "down"])
async def test_a_run_is_not_verified_by_metrics_that_say_nothing(
    tmp_path: Path, prometheus: Prometheus, target: Target, silence: str
) -> None:
    target.resources["workers"] = {"workers": 4}
    job = f"silent-{new_id()}"
    query = f'app_workers{{job="{job}"}}'
    prometheus.configure({job: target.url})
    await eventually(lambda: prometheus.query(f"{query} == 4"))
    if silence == "nan":
        target.gauges["app_workers"] = math.nan
        await eventually(lambda: prometheus.query(f"{query} != {query}"))
    elif silence == "stale":
        target.fault("503", times=10_000, on="metrics")
        await eventually(lambda: not prometheus.query(query))
    elif silence == "empty":
        query = "app_nothing"
    url = "http://127.0.0.1:1" if silence == "down" else prometheus.url
    text = playbook_text()
    text = text[: text.index("verify:")] + f"verify:\n  - query: '{query}'\n    at_least: 5\n    within: 1s\n"

    bed = await open_bed(f"sqlite:///{tmp_path}/responder.db", target.url, url)
    try:
        run = await bed.work(await bed.begin(text))
        assert (run.state, run.verdict) == (RunState.UNKNOWN, Verdict.VERIFY_UNKNOWN), run.reason
        assert target.resources["workers"]["workers"] == 6
        account = await bed.store.account(run.incident_id)
        assert account is not None
        assert account.incident.needs_person
    finally:
        await bed.tools.close()
        await bed.store.close()
