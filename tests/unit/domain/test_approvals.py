"""Who may answer, and what an answer makes of the question."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from responder.domain.approvals import ANONYMOUS, answered, may_answer
from responder.domain.limits import Refusal
from responder.domain.notification import Approval
from responder.domain.verdicts import Verdict

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
ASKED = Approval("a", "r", "h", [], "pending", NOW, NOW + timedelta(minutes=10), four_eyes=True)


def say(asked: Approval, actor: str, *, yes: bool = True, requested_by: str = "") -> Approval | Refusal:
    return answered(asked, yes=yes, actor=actor, plan_hash="h", comment="", requested_by=requested_by, now=NOW)


@pytest.mark.parametrize(
    ("allowed", "name", "role", "may"),
    [
        (["role:operator"], "ana", "operator", True),
        (["role:operator"], "ana", "admin", True),
        (["role:operator"], "ana", "viewer", False),
        (["role:admin"], "ana", "operator", False),
        (["user:ana"], "ana", "viewer", True),
        (["user:ana"], "anna", "admin", False),
        (["slack:@sre", "slack:ana"], "ana", "admin", False),
        (["role:nobody"], "ana", "admin", False),
        (["ana", "user:", ""], "", "admin", False),
        ([], "ana", "admin", False),
    ],
)
def test_a_name_or_a_role_may_answer(allowed: list[str], name: str, role: str, may: bool) -> None:  # noqa: FBT001 - a table's column
    assert may_answer(allowed, name, role) is may


def test_the_first_of_two_is_noted_and_the_second_approves() -> None:
    first = say(ASKED, "ana")
    assert isinstance(first, Approval)
    assert (first.state, first.first_by, first.decided_by) == ("pending", "ana", "")
    second = say(first, "bob")
    assert isinstance(second, Approval)
    assert (second.state, second.first_by, second.decided_by) == ("approved", "ana", "bob")


@pytest.mark.parametrize(
    ("asked", "actor", "requested_by"),
    [
        (ASKED, "ana", "ana"),
        (replace(ASKED, first_by="bob"), "ana", "ana"),
        (ASKED, ANONYMOUS, ""),
        (replace(ASKED, first_by="ana"), ANONYMOUS, ""),
    ],
)
def test_the_one_who_asked_and_nobody_in_particular_are_not_two(asked: Approval, actor: str, requested_by: str) -> None:
    refusal = say(asked, actor, requested_by=requested_by)
    assert isinstance(refusal, Refusal)
    assert refusal.verdict is Verdict.NOT_ALLOWED


@pytest.mark.parametrize("actor", ["ana", "Ana"])
def test_the_same_person_twice_is_one_person_and_hears_when_they_said_it(actor: str) -> None:
    refusal = say(replace(ASKED, first_by="ana", first_at=NOW), actor)
    assert isinstance(refusal, Refusal)
    assert refusal.verdict is Verdict.ACTED
    assert refusal.reason == "ana has said yes already at 2026-01-05 12:00:00 UTC; the second yes is another's"


@pytest.mark.parametrize(("yes", "word"), [(True, "approved"), (False, "rejected")])
def test_who_answers_again_hears_who_answered_and_when(yes: bool, word: str) -> None:  # noqa: FBT001 - a table's column
    once = say(replace(ASKED, four_eyes=False), "ana", yes=yes)
    assert isinstance(once, Approval)
    again = say(once, "bob")
    assert isinstance(again, Refusal)
    assert again.reason == f"the question is closed already: {word} by ana at 2026-01-05 12:00:00 UTC"


def test_a_void_question_says_that_nothing_needs_an_answer() -> None:
    refusal = say(replace(ASKED, state="void"), "ana")
    assert isinstance(refusal, Refusal)
    assert refusal.reason == (
        "the run no longer asks, as when its alert has ended or the run has: nothing of it needs a yes"
    )


def test_one_no_is_enough_even_after_a_yes_of_ones_own() -> None:
    for asked in (ASKED, replace(ASKED, first_by="ana")):
        said = say(asked, "ana", yes=False)
        assert isinstance(said, Approval)
        assert (said.state, said.decided_by) == ("rejected", "ana")
