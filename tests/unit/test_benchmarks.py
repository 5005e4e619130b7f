"""The benchmarks still run, and say what they measured; how fast it is here is nobody's business."""

import contextlib
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, main, measure
from benchmarks.bodies import bodies
from benchmarks.load import post, write_bodies
from benchmarks.place import Place, module
from benchmarks.report import Goal, Result, Row, quantile
from benchmarks.sizes import TINY
from responder.intake.formats import parse
from tests.bed.postgres import Postgres


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_measures_something_beside_its_ceiling(name: str, durable_postgres: Postgres) -> None:
    with contextlib.ExitStack() as stack:
        result = measure(name, Place(stack, durable_postgres), TINY)
    assert result.rows
    for row in result.rows:
        assert row.figure > 0, row
        assert row.ceiling is not None, row
        assert row.ceiling > 0, row
    table = result.table()
    assert result.title in table
    assert result.quote in table


def test_an_unknown_name_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["speed"])
    assert ended.value.code == 2
    assert "intake" in capsys.readouterr().err


def test_bodies_hold_each_alert_once_and_are_read_without_mending() -> None:
    notices = [parse("alertmanager", body) for body in bodies(25, 10)]
    assert [len(notice.alerts) for notice in notices] == [10, 10, 5]
    assert len({alert.fingerprint for notice in notices for alert in notice.alerts}) == 25
    assert not any(notice.flags or notice.quarantined for notice in notices)
    assert len({notice.group_key for notice in notices}) == 3


def test_a_load_keeps_its_rate(tmp_path: Path) -> None:
    file = write_bodies(tmp_path / "bodies", bodies(20, 1))
    with module("benchmarks.bare") as (url, _):
        load = post(f"{url}/webhook/alertmanager", file, 2, rate=40)
    assert load.refused == load.broken == 0
    assert 40 <= load.requests <= 120


@pytest.mark.parametrize(
    ("goal", "figure", "ceiling", "verdict"),
    [
        (Goal("ratio", 0.25), 25, 100, "met"),
        (Goal("ratio", 0.25), 24, 100, "missed"),
        (Goal("least", 250), 250, 1, "met"),
        (Goal("least", 250), 249, 1, "missed"),
        (Goal("most", 120), 120, 1, "met"),
        (Goal("most", 120), 121, 1, "missed"),
        (None, 1, 1, ""),
    ],
)
def test_a_goal_is_met_or_missed(goal: Goal | None, figure: float, ceiling: float, verdict: str) -> None:
    assert Row("what", figure, "u", ceiling, goal).verdict() == verdict


@pytest.mark.parametrize(
    ("goal", "figure", "verdict"),
    [
        (Goal("least", 250, timed=True), 250, "met"),
        (Goal("least", 250, timed=True), 130, "met at this pace"),
        (Goal("least", 250, timed=True), 120, "missed"),
        (Goal("most", 50, timed=True), 90, "met at this pace"),
        (Goal("most", 50, timed=True), 110, "missed"),
        (Goal("most", 120), 130, "missed"),
        (Goal("ratio", 0.25), 24, "missed"),
    ],
)
def test_a_figure_is_held_against_what_the_goal_comes_to_on_a_slower_machine(
    goal: Goal, figure: float, verdict: str
) -> None:
    row = Row("what", figure, "u", 100, goal)
    assert row.verdict(pace=0.5) == verdict
    table = Result("title", [row], "bare", "quote").table(pace=0.5)
    assert (f"({goal.at(0.5).number:g} here)" in table) == goal.timed


def test_a_table_shows_figure_ceiling_ratio_and_goal() -> None:
    table = Result("title", [Row("runs", 1234.5, "/s", 2469, Goal("ratio", 0.25))], "bare", "quote").table()
    (line,) = [line for line in table.splitlines() if "runs" in line]
    assert line.split("   ")[0].strip() == "runs"
    for part in ("1,234 /s", "2,469 /s", "0.50 ×", "≥ 0.25 ×", "met"):
        assert part in line


def test_quantiles_are_values_that_were_seen() -> None:
    values = [float(number) for number in range(1, 101)]
    assert quantile(values, 0.5) == 51
    assert quantile(values, 0.99) == 100
    assert quantile([], 0.5) == 0
