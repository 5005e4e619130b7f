"""A share of ``make fuzz``, and that it finds what is wrong."""

import pytest

from tests.attack.fuzz import SURFACES, fuzz, try_surface
from tests.attack.surfaces import Surface

CASES = {"webhook": 4_000, "playbook": 150, "templates": 4_000, "matchers": 4_000}


@pytest.mark.promise(3)
@pytest.mark.parametrize("name", SURFACES)
def test_any_input_is_answered(name: str) -> None:
    tally = try_surface(name, SURFACES[name], "test", CASES[name])
    assert [str(failure) for failure in tally.failures] == []
    assert tally.cases == CASES[name]


def test_what_fails_is_made_small_and_found_again_by_its_seed() -> None:
    def picky(data: bytes) -> None:
        if b"alerts" in data:
            raise KeyError("alerts")

    surface = Surface(SURFACES["webhook"].make, picky)
    first, second = (try_surface("webhook", surface, "1.0", 3).failures[0] for _ in range(2))
    assert first == second
    assert first.smallest == b"alerts"
    assert "seed 1.0: KeyError" in str(first)


def test_the_cases_are_divided_among_processes() -> None:
    tally = fuzz(500, seed=7)
    assert tally.failures == []
    assert tally.line(7).startswith("500 cases over 4 surfaces (seed 7): 0 failures")
