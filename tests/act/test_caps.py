"""What runs share: limits of policies, and how much of what there is may be worked on."""

from dataclasses import replace
from datetime import timedelta

from responder.domain.limits import Cap, Rate
from responder.domain.runs import RunState
from responder.domain.verdicts import Verdict
from tests.act_bed import Bed, playbook_text
from tests.bed import ledger
from tests.bed.target_peer import Target

HOUR = timedelta(hours=1)


async def test_a_policys_limit_holds_for_runs_of_every_playbook(bed: Bed, target: Target) -> None:
    cap = Cap("policy:x", "the policy for alertname", rate=Rate(1, HOUR))
    bed.engine = replace(bed.engine, caps_of=lambda labels: (cap,) if labels["alertname"] == "Overloaded" else ())
    first = await bed.work(await bed.begin(playbook_text()))
    assert first.state is RunState.VERIFIED
    other = playbook_text().replace("add-workers", "other")
    second = await bed.work(await bed.begin(other))
    assert (second.state, second.verdict) == (RunState.SKIPPED, Verdict.POLICY_RATE)
    assert "the policy for alertname" in second.reason
    assert len(ledger.effects(target.ledger.entries, "workers")) == 1
