"""A mistyped word gets the nearest known one."""

from responder.language.suggest import did_you_mean

KEYS = ["matchers", "match_any", "per_target", "summary"]


def test_a_slip_of_the_finger_is_recognised() -> None:
    assert did_you_mean("machers", KEYS) == "matchers"
    assert did_you_mean("perTarget", KEYS) == "per_target"
    assert did_you_mean("MATCHERS", KEYS) == "matchers"


def test_an_unrelated_word_gets_no_suggestion() -> None:
    assert did_you_mean("xyzzy", KEYS) is None
    assert did_you_mean("", KEYS) is None
    assert did_you_mean("timeout", ["at_most", "within"]) is None
    assert did_you_mean("anything", []) is None
