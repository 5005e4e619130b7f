"""Sentences side by side, each with its end; a person's words in quotation marks."""

from datetime import UTC, datetime

from responder.domain.limits import Limits, Pause, Subject, Usage, over_limit, paused
from responder.domain.sentences import quoted, sentences

NOW = datetime(2026, 12, 1, 14, 2, tzinfo=UTC)


def test_each_part_but_the_last_gets_its_full_stop() -> None:
    assert sentences("it did not help", "", "Undone.", "step a: 403") == "it did not help. Undone. step a: 403"


def test_a_persons_words_stand_in_quotation_marks_and_nothing_stays_nothing() -> None:
    assert sentences(quoted("bad"), "Not everything was undone") == "“bad”. Not everything was undone"
    assert quoted("  ") == ""


def test_a_pause_names_who_said_so_and_ends_its_sentence() -> None:
    def said(reason: str) -> str:
        refusal = paused([Pause("p1", "pause", "all", reason, "alice", NOW)], Subject("fix", "http/checkout"), NOW)
        assert refusal is not None
        return sentences(refusal.reason, "Looked at again at 14:07 UTC.")

    assert said("release") == "Automation is paused. alice paused all: “release”. Looked at again at 14:07 UTC."
    assert said("") == "Automation is paused. alice paused all. Looked at again at 14:07 UTC."


def test_once_is_not_called_one_times() -> None:
    refusal = over_limit(Limits(attempts=1), Usage(unsuccessful=1), 1, NOW)
    assert refusal is not None
    assert refusal.reason.startswith("tried once on this target")
