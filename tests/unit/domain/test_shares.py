"""Shares of how many targets there are."""

import pytest

from responder.domain.limits import Share, failing_as_one


@pytest.mark.parametrize(
    ("share", "population", "allowed"),
    [(0.2, 0, 1), (0.2, 1, 1), (0.2, 9, 1), (0.2, 10, 2), (0.29, 100, 29), (0.5, 3, 1), (1.0, 7, 7)],
)
def test_a_share_is_rounded_down_and_allows_one(share: float, population: int, allowed: int) -> None:
    assert Share(share).allows(population) == allowed


@pytest.mark.parametrize(
    ("share", "sick", "known", "goes_on"),
    [
        (Share(0.2), 1, 1, "yes"),
        (Share(0.2), 4, 4, "yes"),  # fewer than five heard of: nobody knows the others
        (Share(0.2), 5, 5, "no"),
        (Share(0.2), 1, 5, "yes"),
        (Share(0.2), 2, 5, "no"),
        (Share(0.2), 2, 10, "yes"),
        (Share(0.2), 3, 10, "no"),
        (Share(0.2), 6, 3, "no"),  # the count of what is known is a little older
        (Share(0.2, total=40), 8, 9, "yes"),
        (Share(0.2, total=40), 9, 9, "no"),
        (Share(0.2, total=3), 1, 0, "yes"),
        (Share(0.2, total=3), 2, 0, "no"),
        (Share(0.5), 1, 2, "yes"),
        (Share(0.5), 2, 2, "no"),
    ],
)
def test_a_mass_failure_is_more_than_the_share_of_what_is_known(
    share: Share, sick: int, known: int, goes_on: str
) -> None:
    refusal = failing_as_one(share, sick, known)
    assert (refusal is None) == (goes_on == "yes")
    assert refusal is None or f"{sick} of " in refusal.reason
