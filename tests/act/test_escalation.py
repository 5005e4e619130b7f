"""One step after another until one helps, judged by the target's own ledger."""

from typing import cast

import pytest

from responder.domain.runs import RunState
from responder.domain.verdicts import Verdict
from tests.act_bed import SECOND_STEP, Bed, playbook_text
from tests.act_bed import TARGET as ON
from tests.bed.target_peer import Target

HARDER = """\
  - id: more
    http.request:
      service: checkout
      read: GET /admin/workers
      send: PUT /admin/workers
      set:
        workers:
          by: 4
"""
UNTIL = "steps_until: verified\n"
TOO_MUCH = HARDER.replace("id: more", "id: too-much").replace("by: 4", "by: 40")


def escalating(*, wanted: int, more_steps: str = HARDER, tail: str = "", within: str = "300ms") -> str:
    return playbook_text(verify=f"equals: {wanted}", more_steps=more_steps, within=within, tail=UNTIL + tail)


def changes(target: Target) -> list[object]:
    return [(one.name, (one.after or {}).get("workers")) for one in target.ledger.entries if one.changed]


async def states(bed: Bed, run_id: str) -> dict[str, str]:
    [row] = (await bed.store.page("runs", {"id": run_id}, 1, "")).items
    steps = cast("list[dict[str, str]]", row["steps"])
    return {step["id"]: step["state"] for step in steps}


async def test_the_first_step_that_helps_is_the_last(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(escalating(wanted=6)))
    assert (run.state, run.effects) == (RunState.VERIFIED, 1), run.reason
    assert changes(target) == [("workers", 6)]
    assert "not needed: more" in run.reason
    assert await states(bed, run.id) == {"add": "applied", "more": "not_needed"}


async def test_what_did_not_help_is_undone_before_the_next_step(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(escalating(wanted=8, more_steps=HARDER + TOO_MUCH)))
    assert (run.state, run.effects) == (RunState.VERIFIED, 2), run.reason
    assert changes(target) == [("workers", 6), ("workers", 4), ("workers", 8)]
    assert await states(bed, run.id) == {"add": "undone", "more": "applied", "too-much": "not_needed"}
    assert [one.step for one in run.progress.tried] == ["add"]


async def test_with_keep_what_did_not_help_stays_under_the_next_step(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(escalating(wanted=10, tail="on_failure: keep")))
    assert run.state is RunState.VERIFIED, run.reason
    assert changes(target) == [("workers", 6), ("workers", 10)]


async def test_when_no_step_helps_nothing_is_left(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(escalating(wanted=99)))
    assert (run.state, run.verdict) == (RunState.ROLLED_BACK, Verdict.VERIFY_FAILED)
    assert changes(target) == [("workers", 6), ("workers", 4), ("workers", 8), ("workers", 4)]
    assert "after add: 6, needs = 99" in run.reason.replace("workers: ", "")
    assert "after more: " in run.reason


async def test_what_cannot_be_judged_is_not_followed_by_harder_means(bed: Bed, target: Target) -> None:
    text = escalating(wanted=6).replace("pointer: /workers", "pointer: /nowhere")
    run = await bed.work(await bed.begin(text))
    assert (run.state, run.verdict) == (RunState.UNKNOWN, Verdict.VERIFY_UNKNOWN)
    assert changes(target) == [("workers", 6)]


async def test_a_step_that_fails_is_not_followed_by_harder_means(bed: Bed, target: Target) -> None:
    broken = HARDER.replace("PUT /admin/workers", "PUT /nowhere")
    run = await bed.work(await bed.begin(escalating(wanted=44, more_steps=broken + TOO_MUCH)))
    assert (run.state, run.verdict) == (RunState.ROLLED_BACK, Verdict.STEP_FAILED), run.reason
    assert changes(target) == [("workers", 6), ("workers", 4)]


async def test_somebody_elses_edit_ends_the_escalation(bed: Bed, target: Target) -> None:
    run = await bed.begin(escalating(wanted=99, within="2s"))
    run = await bed.work(run, until=frozenset({RunState.VERIFYING}))
    target.resources["workers"] = {**target.resources["workers"], "workers": 7}
    run = await bed.work(run)
    assert run.state is RunState.PARTLY_ROLLED_BACK, run.reason
    assert target.resources["workers"]["workers"] == 7
    assert changes(target) == [("workers", 6)]


async def test_a_step_that_is_not_to_be_undone_stays_and_the_next_one_is_tried(bed: Bed, target: Target) -> None:
    text = escalating(wanted=10).replace("  - id: add\n", "  - id: add\n    undo: none\n")
    run = await bed.work(await bed.begin(text))
    assert run.state is RunState.VERIFIED, run.reason
    assert changes(target) == [("workers", 6), ("workers", 10)]


async def test_a_stop_while_it_undoes_a_step_keeps_the_next_one_from_being_tried(bed: Bed, target: Target) -> None:
    run = await bed.begin(escalating(wanted=8))
    run = await bed.work(run, until=frozenset({RunState.UNDOING}))
    assert run.progress.goes_on
    assert await bed.store.stop(run.id, "ana")
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.CANCELLED, Verdict.STOPPED)
    assert changes(target) == [("workers", 6), ("workers", 4)]


async def test_no_harder_means_for_an_alert_that_is_over(bed: Bed, target: Target) -> None:
    run = await bed.begin(escalating(wanted=8))
    run = await bed.work(run, until=frozenset({RunState.UNDOING}))
    await bed.close_episode(run)
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.ROLLED_BACK, Verdict.RESOLVED), run.reason
    assert changes(target) == [("workers", 6), ("workers", 4)]


async def test_steps_that_find_nothing_to_change_are_passed_over(bed: Bed, target: Target) -> None:
    nothing = SECOND_STEP.replace("megabytes: 128", "megabytes: 64")
    run = await bed.work(await bed.begin(escalating(wanted=99, more_steps=nothing)))
    assert (run.state, run.verdict) == (RunState.ROLLED_BACK, Verdict.VERIFY_FAILED), run.reason
    assert changes(target) == [("workers", 6), ("workers", 4)]


CHECKED = """\
  - id: add
    verify:
      - name: enough
        probe: http.get
        with:
          service: checkout
          path: /admin/workers
          pointer: /workers
        equals: {wanted}
        within: 300ms
"""


@pytest.mark.parametrize(
    ("wanted", "ends", "left"), [(6, RunState.VERIFIED, (6, 128)), (7, RunState.ROLLED_BACK, (4, 64))]
)
async def test_a_steps_own_check_is_judged_before_the_next_step(
    bed: Bed, target: Target, wanted: int, ends: RunState, left: tuple[int, int]
) -> None:
    text = playbook_text(more_steps=SECOND_STEP).replace("  - id: add\n", CHECKED.format(wanted=wanted))
    run = await bed.work(await bed.begin(text, target=ON))
    assert run.state is ends, run.reason
    assert (target.resources["workers"]["workers"], target.resources["cache"]["megabytes"]) == left
    assert [one.name for one in target.ledger.entries if one.changed][:2] == (
        ["workers", "cache"] if ends is RunState.VERIFIED else ["workers", "workers"]
    )
