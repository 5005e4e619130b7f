"""A few of the days of ``make seeds``, and that a day notices what is wrong."""

import random
from pathlib import Path

import pytest

from tests.attack.made_up import Landed
from tests.attack.seeds import Day, play, quickly


@pytest.mark.promise(4)
@pytest.mark.promise(5)
@pytest.mark.promise(14)
@pytest.mark.parametrize("seed", range(901, 904))
async def test_a_simulated_day_leaves_everything_in_order(tmp_path: Path, seed: int) -> None:
    with quickly():
        played = await play(seed, tmp_path, steps=40)
    assert played.wrong == []
    assert played.seen["deliveries"]
    assert played.seen["runs"]


async def test_a_day_notices_an_effect_that_nobody_wrote_down_and_one_that_came_twice(tmp_path: Path) -> None:
    day = Day(tmp_path, random.Random(1))  # noqa: S311 -- nothing is drawn
    await day.begin()
    try:
        await day.look()
        assert day.wrong == []
        day.service.ledger += [Landed("nobody:do", "item-0", {"workers": 5})] * 2
        await day.look()
    finally:
        await day.store.close()
    assert day.wrong == ["nobody:do landed 2 times", *["nobody:do has no record with a before-image"] * 2]
