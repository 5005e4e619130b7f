"""A share of ``make crash``: sixty deaths and more, at points that a trace has discovered a moment before."""

import itertools
from collections.abc import Iterator

import pytest

from tests.attack import telling
from tests.attack.crash import Case, Ward, discover, pairs, play, singles, ward
from tests.attack.lives import Launcher, launcher
from tests.attack.points import ANY, Plan
from tests.attack.scenarios import SCENARIOS

DEATHS = 34
"""On each store."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Launcher]:
    """Give the process that forks responders."""
    with launcher() as made:
        yield made


def _some(cases: list[Case], count: int, start: int) -> list[Case]:
    """Choose cases that are as far apart as there is room for, others for each ``start``."""
    step = len(cases) / count
    return [cases[int(start + number * step) % len(cases)] for number in range(count)]


def _die(ward: Ward, start: int) -> None:
    places = discover(ward, wait=False)
    assert places.keys() == {scenario.name for scenario in SCENARIOS}
    assert {"intend:before", "do:before", "do:after", "undo:after"} <= {name for name, _ in places["helpless"]}
    result = play(
        ward, [*_some(list(singles(places, "kill")), DEATHS - 4, start), *_some(list(pairs(places)), 2, start)]
    )
    assert result.findings.every == []
    assert result.kills >= 30, result.line()  # a point may be passed another way the second time


@pytest.mark.promise(1)
@pytest.mark.promise(4)
@pytest.mark.timeout(400)
def test_nothing_is_lost_or_repeated_wherever_it_dies_on_sqlite(forks: Launcher) -> None:
    with ward("sqlite", "sqlite", forks) as hurt:
        _die(hurt, 0)


@pytest.mark.promise(1)
@pytest.mark.promise(4)
@pytest.mark.timeout(400)
def test_nothing_is_lost_or_repeated_wherever_it_dies_on_postgresql(forks: Launcher, durable_postgres_url: str) -> None:
    with ward("postgresql", durable_postgres_url, forks) as hurt:
        _die(hurt, 3)


@pytest.mark.promise(7)
@pytest.mark.timeout(400)
def test_who_freezes_beyond_its_lease_and_wakes_does_no_harm(forks: Launcher, durable_postgres_url: str) -> None:
    with ward("frozen", durable_postgres_url, forks) as hurt:
        places = discover(hurt, wait=False)
        chosen = [case for case in singles(places, "freeze") if case.plans[0].name.partition(":")[0] in {"do", "undo"}]
        result = play(hurt, itertools.islice(chosen, 4))
        assert result.findings.every == []
        assert result.freezes >= 3, result.line()


def test_who_dies_while_telling_tells_everybody_once_and_to_the_end(forks: Launcher) -> None:
    deaths = [Plan("slack.post:after", 1, "kill"), *(Plan(ANY, place, "kill") for place in (3, 6, 9))]
    with telling.office("telling", "sqlite", forks, len(telling.KINDS)) as hurt:
        hurt.run(*deaths)
        assert hurt.result.findings.every == []
        assert hurt.result.kills >= 3, telling.line(hurt.result)


def test_a_page_whose_answer_was_lost_is_ended_all_the_same(forks: Launcher) -> None:
    with telling.office("paging", "sqlite", forks, len(telling.KINDS)) as hurt:
        hurt.run(Plan("pagerduty.send:after", 1, "lost"))
        assert hurt.result.findings.every == []
        assert hurt.result.lost == 1, telling.line(hurt.result)
