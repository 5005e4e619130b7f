"""Shares of how many targets there are."""

import pytest

from responder.domain.limits import Share


@pytest.mark.parametrize(
    ("share", "population", "allowed"),
    [(0.2, 0, 1), (0.2, 1, 1), (0.2, 9, 1), (0.2, 10, 2), (0.29, 100, 29), (0.5, 3, 1), (1.0, 7, 7)],
)
def test_a_share_is_rounded_down_and_allows_one(share: float, population: int, allowed: int) -> None:
    assert Share(share).allows(population) == allowed
