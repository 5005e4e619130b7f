"""What runs share: limits of policies, and how much of what there is may be worked on."""

from dataclasses import replace
from datetime import timedelta

import pytest

from responder.act.reach import counted_under
from responder.domain.limits import Cap, Rate
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.tell.compose import compose
from tests.act_bed import Bed, needs_person, playbook_text, sick
from tests.bed import ledger
from tests.bed.target_peer import Target

HOUR = timedelta(hours=1)


async def test_a_policys_limit_holds_for_runs_of_every_playbook(bed: Bed, target: Target) -> None:
    cap = Cap("policy:x", "the policy for alertname", rate=Rate(1, HOUR))
    bed.engine = replace(
        bed.engine, caps_of=lambda run: (cap,) if run.context.labels["alertname"] == "Overloaded" else ()
    )
    first = await bed.work(await bed.begin(playbook_text()))
    assert first.state is RunState.VERIFIED
    other = playbook_text().replace("add-workers", "other")
    second = await bed.work(await bed.begin(other))
    assert (second.state, second.verdict) == (RunState.SKIPPED, Verdict.POLICY_RATE)
    assert "the policy for alertname" in second.reason
    assert len(ledger.effects(target.ledger.entries, "workers")) == 1


async def test_a_mass_failure_is_left_to_a_person(bed: Bed, target: Target) -> None:
    run = await bed.begin(playbook_text())
    await sick(bed, run, 5)
    run = await bed.work(run)
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.MASS_FAILURE)
    assert "6 of 6 are sick, and more than 20% is a mass failure." in run.reason
    assert "Too many targets are sick at once" in await needs_person(bed, run)
    assert ledger.effects(target.ledger.entries, "workers") == []
    account = await bed.store.account(run.incident_id)
    assert account is not None
    ahead = compose(account, 1, bed.store.now(), lambda _: None, "").ahead
    assert ahead.startswith("it looks again by itself at"), "automation goes on once enough of them are well"


async def test_nobody_is_asked_to_approve_what_is_a_mass_failure(bed: Bed) -> None:
    run = await bed.begin(playbook_text(mode="approve"))
    await sick(bed, run, 5)
    assert (await bed.work(run)).verdict is Verdict.MASS_FAILURE


@pytest.mark.parametrize(
    ("limits", "others"),
    [
        ("", 0),
        ("", 3),
        ("limits:\n  mass_failure: off", 5),
        ("limits:\n  mass_failure:\n    share: 20%\n    total: 30", 5),
    ],
)
async def test_one_target_few_or_a_switch_are_no_mass_failure(bed: Bed, limits: str, others: int) -> None:
    run = await bed.begin(playbook_text(limits=limits))
    await sick(bed, run, others)
    run = await bed.work(run)
    assert run.state is RunState.VERIFIED, run.reason
    assert await needs_person(bed, run) == ""


async def test_who_only_watches_shows_what_it_would_do_in_a_mass_failure(bed: Bed) -> None:
    run = await bed.begin(playbook_text(mode="observe"))
    await sick(bed, run, 5)
    assert (await bed.work(run)).state is RunState.OBSERVED


RADIUS = """limits:
  blast_radius:
    share: 20%
    of: {of}
{more}"""


def bounded(of: str = "playbook", more: str = "", **changes: str) -> str:
    """Return a playbook that may act on a fifth of its targets."""
    text = playbook_text(limits=RADIUS.format(of=of, more=more), **changes)
    return text.replace("target: http/checkout/workers", 'target: "http/checkout/{{ labels.item }}"')


async def on_two(bed: Bed, text: str, *, until: frozenset[RunState] | None = None) -> tuple[Run, Run]:
    """Let one run be verified, and then another one at another target of the same service."""
    first = await bed.work(await bed.begin(text, target="http/checkout/workers", item="workers"))
    assert first.state is RunState.VERIFIED, first.reason
    other = text.replace("/admin/workers", "/admin/cache").replace("workers:", "megabytes:")
    second = await bed.begin(
        other.replace("/workers", "/megabytes").replace("max: 8", "max: 80").replace("equals: 6", "equals: 66"),
        target="http/checkout/cache",
        item="cache",
    )
    return first, await bed.work(second, until=until)


async def test_a_playbook_that_knows_few_targets_works_on_one_at_a_time(bed: Bed, target: Target) -> None:
    _, second = await on_two(bed, bounded())
    assert (second.state, second.verdict) == (RunState.SKIPPED, Verdict.BLAST_RADIUS)
    assert "Others of the playbook add-workers: 1 of at most 1." in second.reason
    assert ledger.effects(target.ledger.entries, "cache") == []


async def test_nobody_is_asked_for_what_there_is_no_room_for(bed: Bed) -> None:
    first = await bed.work(await bed.begin(bounded(), item="workers"))
    assert first.state is RunState.VERIFIED
    asking = await bed.work(await bed.begin(bounded(mode="approve"), target="http/checkout/cache", item="cache"))
    assert (asking.state, asking.verdict) == (RunState.SKIPPED, Verdict.BLAST_RADIUS)


async def test_how_many_there_are_may_be_declared(bed: Bed, target: Target) -> None:
    _, second = await on_two(bed, bounded(more="    total: 10"))
    assert second.verdict is not Verdict.BLAST_RADIUS
    assert len(ledger.effects(target.ledger.entries, "cache")) >= 1


@pytest.mark.promise(9)
async def test_where_nobody_can_tell_how_many_there_are_nothing_is_done(bed: Bed, target: Target) -> None:
    run = await bed.work(await bed.begin(bounded("team"), item="workers"))
    assert (run.state, run.verdict) == (RunState.SKIPPED, Verdict.POPULATION_UNKNOWN)
    assert "does not say which team" in run.reason
    assert ledger.effects(target.ledger.entries, "workers") == []


async def test_what_playbooks_without_a_radius_act_on_counts_in_a_scope_that_others_bound(bed: Bed) -> None:
    bed.engine = replace(bed.engine, caps_of=lambda run: counted_under({"owner"}, run))
    free = await bed.work(await bed.begin(playbook_text().replace("add-workers", "free")))
    assert free.state is RunState.VERIFIED
    run = await bed.work(await bed.begin(bounded("owner"), target="http/checkout/cache", item="cache"))
    assert run.verdict is Verdict.BLAST_RADIUS
    assert "what is below http/checkout" in run.reason
