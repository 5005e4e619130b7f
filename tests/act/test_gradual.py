"""A step whose change is made in portions, judged by the target's own ledger."""

from datetime import timedelta

import pytest

from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from tests.act_bed import Bed, needs_person
from tests.bed.target_peer import Target

TARGET = "http/checkout"
FIX = """\
schema: 1
name: add
mode: {mode}
matchers:
  - alertname="Overloaded"
target: http/checkout
{limits}
steps:
  - id: add
    gradual:
      by: {by}
      verify: {judged}
    http.request:
      service: checkout
      read: GET /admin/workers
      send: PUT /admin/workers
      set:
        workers:
          {change}
    verify:
      - name: not too many
        probe: http.get
        with:
          service: checkout
          path: /admin/workers
          pointer: /workers
        at_most: {most}
        within: 200ms
verify:
  - name: it is well
    probe: http.get
    with:
      service: checkout
      path: /admin/health
      pointer: /ok
    equals: 1
    within: 200ms
{tail}
"""


def gradual(**changes: object) -> str:
    """Return a playbook that adds three workers, one at a time."""
    given = {
        "mode": "auto", "by": 1, "judged": "between", "change": "by: 3", "most": 99, "limits": "", "tail": "",
    }  # fmt: skip
    return FIX.format(**given | changes)


@pytest.fixture(autouse=True)
def workers(target: Target) -> None:
    target.resources["workers"] = {"workers": 4}
    target.resources["health"] = {"ok": 1}


def values(target: Target) -> list[object]:
    """Return what the number was set to, one after the other."""
    return [(one.after or {}).get("workers") for one in target.ledger.entries if one.changed]


async def ended(bed: Bed, text: str) -> Run:
    return await bed.work(await bed.begin(text, target=TARGET))


async def test_a_portion_comes_after_the_one_before_it_has_held(bed: Bed, target: Target) -> None:
    run = await ended(bed, gradual())
    assert (run.state, run.effects) == (RunState.VERIFIED, 3), run.reason
    assert values(target) == [5, 6, 7]
    shown = [(step.id, step.before, step.after) for step in run.progress.plan]
    assert shown == [
        ("add[1/3]", {"workers": 4}, {"workers": 5}),
        ("add[2/3]", {"workers": 5}, {"workers": 6}),
        ("add[3/3]", {"workers": 6}, {"workers": 7}),
    ]


async def test_the_deadline_has_room_for_the_portions_that_there_are(bed: Bed) -> None:
    """Until they are known it has room for twenty, each judged: that is hours."""
    begun = await bed.begin(gradual(mode="observe"), target=TARGET, within=timedelta(hours=5))
    run = await bed.work(begun)
    assert timedelta(minutes=30) < run.deadline - begun.created_at < timedelta(hours=1)


@pytest.mark.parametrize(
    ("change", "by", "stops"),
    [
        ("by: 8\n          max: 10", "25%", [5, 7, 8, 10]),
        ("to: 1", 2, [2, 1]),
        ("by: 3", 5, [7]),
    ],
)
async def test_the_size_is_a_number_or_a_share_and_the_way_may_lead_down(
    bed: Bed, target: Target, change: str, by: object, stops: list[int]
) -> None:
    run = await ended(bed, gradual(change=change, by=by))
    assert run.state is RunState.VERIFIED, run.reason
    assert values(target) == stops


async def test_the_first_portion_that_does_not_hold_ends_it_and_all_are_undone_last_first(
    bed: Bed, target: Target
) -> None:
    run = await ended(bed, gradual(most=5))
    assert (run.state, run.verdict) == (RunState.ROLLED_BACK, Verdict.VERIFY_FAILED), run.reason
    assert values(target) == [5, 6, 5, 4]


async def test_judged_at_the_end_all_portions_are_made_first(bed: Bed, target: Target) -> None:
    run = await ended(bed, gradual(most=5, judged="end"))
    assert (run.state, run.verdict) == (RunState.ROLLED_BACK, Verdict.VERIFY_FAILED), run.reason
    assert values(target) == [5, 6, 7, 6, 5, 4]


async def test_without_a_check_of_the_step_the_playbooks_is_judged_between(bed: Bed, target: Target) -> None:
    target.resources["health"] = {"ok": 0}
    text = gradual()
    begins, ends = text.index("    verify:\n      - name: not too many"), text.index("verify:\n  - name: it is well")
    run = await ended(bed, text[:begins] + text[ends:])
    assert run.state is RunState.ROLLED_BACK, run.reason
    assert values(target) == [5, 4]


async def test_more_portions_than_there_may_be_mean_no_effect(bed: Bed, target: Target) -> None:
    run = await ended(bed, gradual(change="by: 21"))
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.TOO_MANY_PORTIONS), run.reason
    assert "21 portions, at most 20" in run.reason
    assert await needs_person(bed, run)
    assert values(target) == []


async def test_what_is_no_number_means_no_effect(bed: Bed, target: Target) -> None:
    target.resources["workers"] = {"workers": "many"}
    run = await ended(bed, gradual(change="to: 9"))
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.STEP_FAILED), run.reason
    assert values(target) == []


async def test_what_is_as_wanted_already_is_left_alone(bed: Bed, target: Target) -> None:
    run = await ended(bed, gradual(change="to: 4"))
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.UNCHANGED), run.reason


async def test_the_budget_must_have_room_for_every_portion(bed: Bed, target: Target) -> None:
    run = await ended(bed, gradual(limits="limits:\n  per_target: 2 per 1h"))
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.RATE_TARGET), run.reason
    assert values(target) == []


async def test_people_approve_the_portions_that_are_made(bed: Bed, target: Target) -> None:
    run = await bed.begin(gradual(mode="approve"), target=TARGET)
    run = await bed.work(run, until=frozenset({RunState.AWAITING_APPROVAL}))
    assert len(run.progress.plan) == 3
    asked = run.progress.plan_hash
    assert await bed.store.answer(run.id, approve=True, actor="ana", plan_hash=asked, comment="") is None
    run = await bed.work(run)
    assert run.state is RunState.VERIFIED, run.reason
    assert values(target) == [5, 6, 7]


async def test_an_approved_portion_leads_to_where_it_was_shown_to_stop_or_is_not_made(bed: Bed, target: Target) -> None:
    text = gradual(mode="approve").replace("within: 200ms", "within: 2s\n        for: 200ms", 1)
    run = await bed.work(await bed.begin(text, target=TARGET), until=frozenset({RunState.AWAITING_APPROVAL}))
    await bed.store.answer(run.id, approve=True, actor="ana", plan_hash=run.progress.plan_hash, comment="")
    run = await bed.work(run, until=frozenset({RunState.VERIFYING}))
    target.resources["workers"] = {"workers": 3}  # somebody else takes two away
    run = await bed.work(run)
    assert run.verdict is Verdict.PLAN_CHANGED, run.reason
    assert values(target) == [5]


async def test_a_portion_never_goes_beyond_where_it_was_shown_to_stop(bed: Bed, target: Target) -> None:
    text = gradual().replace("within: 200ms", "within: 2s\n        for: 200ms", 1)
    run = await bed.begin(text, target=TARGET)
    run = await bed.work(run, until=frozenset({RunState.VERIFYING}))
    target.resources["workers"] = {"workers": 6}  # somebody else adds one
    run = await bed.work(run)
    assert run.state is RunState.VERIFIED, run.reason
    assert values(target) == [5, 7]
    assert run.progress.unchanged == ("add[2/3]",)


async def test_portions_are_given_back_one_by_one_last_first(bed: Bed, target: Target) -> None:
    run = await ended(bed, gradual(tail="revert_after: 200ms"))
    assert run.state is RunState.VERIFIED, run.reason
    assert values(target)[3:] == [6, 5, 4]
    assert "Given back: add[3/3], add[2/3], add[1/3]" in run.reason


async def test_a_portion_that_is_missed_stays_away_and_the_others_stay(bed: Bed, target: Target) -> None:
    text = gradual(tail="revert_after: 200ms").replace("path: /admin/health", "path: /admin/workers")
    run = await ended(bed, text.replace("pointer: /ok\n    equals: 1", "pointer: /workers\n    at_least: 7"))
    assert (run.state, run.verdict) == (RunState.VERIFIED, Verdict.NOT_GIVEN_BACK), run.reason
    assert values(target) == [5, 6, 7, 6]
    assert "Still there: add[2/3], add[1/3]" in run.reason


async def test_a_person_takes_back_every_portion(bed: Bed, target: Target) -> None:
    run = await ended(bed, gradual())
    rollback = await bed.store.roll_back(run.id, "ana", "no")
    assert isinstance(rollback, Run)
    rollback = await bed.work(rollback)
    assert rollback.state is RunState.ROLLED_BACK, rollback.reason
    assert values(target)[3:] == [6, 5, 4]


async def test_values_of_an_alert_are_not_read_as_templates_again(bed: Bed, target: Target) -> None:
    text = gradual().replace("      set:", '      headers:\n        X-For: "{{ labels.item }}"\n      set:')
    run = await bed.work(await bed.begin(text, target=TARGET, item="{{ labels.nothing }}"))
    assert run.state is RunState.VERIFIED, run.reason
    assert values(target) == [5, 6, 7]
