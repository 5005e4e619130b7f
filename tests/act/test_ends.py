"""Every run ends within its deadline, on what nobody knows nothing is done, and each transition is told once."""

from collections.abc import Mapping
from datetime import timedelta
from typing import cast

import pytest

from responder.domain.runs import RunState
from responder.domain.verdicts import Verdict
from tests.act_bed import Bed, playbook_text
from tests.bed import ledger
from tests.bed.target_peer import Target

SOON = timedelta(seconds=1.5)
UNREADABLE = """\
when:
  - name: "the queue of {{ labels.queue }}"
    probe: http.get
    with: { service: checkout, path: /admin/workers, pointer: /nowhere }
    below: 5
limits: { cooldown: 0s }
"""


async def said_of(bed: Bed, subject: str) -> list[tuple[str, Mapping[str, object]]]:
    """Return what the audit log says of a subject, oldest first, with its details."""
    page = await bed.store.page("audit", {"subject": subject}, 50, "")
    return [(str(one["action"]), cast("Mapping[str, object]", one["details"])) for one in reversed(page.items)]


@pytest.mark.promise(14)
async def test_a_run_that_is_past_its_deadline_takes_back_what_it_did(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text(verify="equals: 99", within="5m"), within=SOON))
    assert (run.state, run.verdict) == (RunState.ROLLED_BACK, Verdict.DEADLINE), run.reason
    assert target.resources["workers"]["workers"] == 4
    assert run.finished_at is not None
    assert run.finished_at >= run.deadline


@pytest.mark.promise(14)
async def test_a_run_that_did_nothing_until_its_deadline_expires(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text(mode="approve"), within=SOON))
    assert (run.state, run.verdict) == (RunState.EXPIRED, Verdict.DEADLINE), run.reason
    assert ledger.effects(target.ledger.entries, "workers") == []


@pytest.mark.promise(9)
async def test_a_condition_that_nobody_can_read_means_no_effect(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text(limits=UNREADABLE)))
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.CONDITION_UNKNOWN), run.reason
    assert run.reason.startswith("“the queue of (no labels.queue)” is unknown: "), "people read no templates"
    assert ledger.effects(target.ledger.entries, "workers") == []


@pytest.mark.promise(18)
async def test_each_transition_is_one_entry_of_the_audit_log(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(playbook_text(verify="equals: 99")))
    moves = [(str(one["from"]), action) for action, one in await said_of(bed, run.id) if "from" in one]
    # Each begins where the one before ended; what a turn passes through without a commit is no transition.
    assert moves == [
        ("resolving", "run.acting"),
        ("acting", "run.verifying"),
        ("verifying", "run.undoing"),
        ("undoing", "run.rolled_back"),
    ]
    account = await bed.store.account(run.incident_id)
    assert account is not None
    (record,) = account.records
    assert [action for action, _ in await said_of(bed, record.id)] == [
        "record.intended", "record.applied", "record.undo_intended", "record.undone",
    ]  # fmt: skip
