"""Steps that are done to each item of a list, judged by the target's own ledger."""

import pytest

from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from tests.act_bed import Bed
from tests.bed.target_peer import Target

TARGET = "http/checkout"
EACH = """\
schema: 1
name: drain
mode: {mode}
matchers:
  - alertname="Overloaded"
target: http/checkout
{limits}
steps:
  - id: drain
    items:
      probe: http.get
      with:
        service: checkout
        path: /admin/fleet
        pointer: {pointer}
      max: 3
    http.request:
      service: checkout
      read: "GET /admin/{{{{ item.name }}}}"
      send: "PUT /admin/{{{{ item.name }}}}"
      json:
        drained: "{{{{ item.to }}}}"
    verify:
      - name: nobody complains
        probe: http.get
        with:
          service: checkout
          path: /admin/{watched}
          pointer: /drained
        at_most: {bound}
        within: 300ms
verify:
  - name: it is well
    probe: http.get
    with:
      service: checkout
      path: /admin/health
      pointer: /ok
    equals: {wanted}
    within: 300ms
{tail}
"""


def each(**changes: object) -> str:
    """Return a playbook that drains every instance."""
    given = {
        "mode": "auto", "pointer": "/instances", "watched": "a", "bound": 1, "wanted": 1, "limits": "", "tail": "",
    }  # fmt: skip
    return EACH.format(**given | changes)


def fleet(target: Target, *names: str) -> None:
    target.resources["fleet"] = {"instances": [{"name": name, "to": 1} for name in names]}


@pytest.fixture(autouse=True)
def instances(target: Target) -> None:
    target.resources["health"] = {"ok": 1}
    for name in ("a", "b", "c", "d"):
        target.resources[name] = {"drained": 0}
    fleet(target, "a", "b", "c")


def changes(target: Target) -> list[tuple[str, object]]:
    return [(one.name, (one.after or {}).get("drained")) for one in target.ledger.entries if one.changed]


async def ended(bed: Bed, text: str) -> Run:
    return await bed.work(await bed.begin(text, target=TARGET))


async def test_every_item_is_done_in_turn(bed: Bed, target: Target) -> None:
    run = await ended(bed, each())
    assert (run.state, run.effects) == (RunState.VERIFIED, 3), run.reason
    assert changes(target) == [("a", 1), ("b", 1), ("c", 1)]
    assert [step.id for step in run.progress.plan] == ["drain[a]", "drain[b]", "drain[c]"]


async def test_the_first_item_is_a_canary(bed: Bed, target: Target) -> None:
    run = await ended(bed, each(bound=0))
    assert (run.state, run.verdict) == (RunState.ROLLED_BACK, Verdict.VERIFY_FAILED), run.reason
    assert changes(target) == [("a", 1), ("a", 0)]


async def test_the_first_item_that_fails_ends_it_and_all_are_undone_last_first(bed: Bed, target: Target) -> None:
    run = await ended(bed, each(watched="b", bound=0))
    assert run.state is RunState.ROLLED_BACK, run.reason
    assert changes(target) == [("a", 1), ("b", 1), ("b", 0), ("a", 0)]


async def test_without_a_check_of_the_step_the_playbooks_is_judged_after_each_item(bed: Bed, target: Target) -> None:
    text = each(wanted=2)
    begins, ends = text.index("    verify:\n      - name: nobody"), text.index("verify:\n  - name: it is well")
    run = await ended(bed, text[:begins] + text[ends:])
    assert run.state is RunState.ROLLED_BACK, run.reason
    assert changes(target) == [("a", 1), ("a", 0)]


@pytest.mark.promise(9)
@pytest.mark.parametrize(
    ("listed", "pointer", "verdict"),
    [
        ((), "/instances", Verdict.NO_ITEMS),
        (("a", "b", "c", "d"), "/instances", Verdict.TOO_MANY_ITEMS),
        (("a", "a"), "/instances", Verdict.ITEMS_UNKNOWN),
        (("a",), "/nowhere", Verdict.ITEMS_UNKNOWN),
    ],
)
async def test_a_list_that_is_not_what_it_should_be_means_no_effect(
    bed: Bed, target: Target, listed: tuple[str, ...], pointer: str, verdict: Verdict
) -> None:
    fleet(target, *listed)
    run = await ended(bed, each(pointer=pointer))
    assert (run.state, run.verdict) == (RunState.SKIPPED, verdict), run.reason
    assert changes(target) == []


@pytest.mark.parametrize("mode", ["auto", "approve"])
async def test_the_budget_must_have_room_for_all_of_them(bed: Bed, target: Target, mode: str) -> None:
    run = await ended(bed, each(mode=mode, limits="limits:\n  per_target: 2 per 1h"))
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.RATE_TARGET), run.reason
    assert changes(target) == []


async def test_the_list_is_frozen_before_anybody_is_asked(bed: Bed, target: Target) -> None:
    run = await bed.begin(each(mode="approve"), target=TARGET)
    run = await bed.work(run, until=frozenset({RunState.AWAITING_APPROVAL}))
    fleet(target, "a", "b", "c", "d")
    assert (
        await bed.store.answer(run.id, approve=True, actor="ana", plan_hash=run.progress.plan_hash, comment="") is None
    )
    run = await bed.work(run)
    assert run.state is RunState.VERIFIED, run.reason
    assert changes(target) == [("a", 1), ("b", 1), ("c", 1)]


async def test_items_are_given_back_one_by_one_last_first(bed: Bed, target: Target) -> None:
    run = await ended(bed, each(tail="revert_after: 200ms"))
    assert run.state is RunState.VERIFIED, run.reason
    assert changes(target)[3:] == [("c", 0), ("b", 0), ("a", 0)]


async def test_a_person_takes_back_every_item(bed: Bed, target: Target) -> None:
    run = await ended(bed, each())
    rollback = await bed.store.roll_back(run.id, "ana", "no")
    assert isinstance(rollback, Run)
    rollback = await bed.work(rollback)
    assert rollback.state is RunState.ROLLED_BACK, rollback.reason
    assert changes(target)[3:] == [("c", 0), ("b", 0), ("a", 0)]
