"""Each of the twenty promises is held by a test that says so."""

from scripts.reference.promises import NOT_YET, PROMISES, marked


def test_there_are_twenty_promises() -> None:
    assert list(PROMISES) == list(range(1, 21))
    assert NOT_YET.keys() <= PROMISES.keys()


def test_each_promise_is_held_by_a_test_that_says_so() -> None:
    held = marked()
    assert [number for number in PROMISES if not held.get(number)] == []
    assert held.keys() <= PROMISES.keys(), "marked, but no such promise"
