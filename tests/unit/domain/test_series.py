"""What figures over time say, and how they are drawn."""

import math
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.chart import Chart, Mark, figure, svg
from responder.domain.series import reaches, sparkline, usual

NOW = datetime(2026, 12, 1, 14, 0, tzinfo=UTC)


def every(minutes: float, *values: float) -> list[tuple[datetime, float]]:
    first = NOW - timedelta(minutes=minutes) * (len(values) - 1)
    return [(first + timedelta(minutes=minutes) * place, value) for place, value in enumerate(values)]


def test_a_line_says_when_it_is_full() -> None:
    rising = every(1, *(0.70 + 0.001 * n for n in range(31)))
    wait = reaches(rising, 1.0)
    assert wait is not None
    assert abs(wait - timedelta(minutes=270)) < timedelta(seconds=5)


@pytest.mark.parametrize(
    "values",
    [
        [0.9] * 31,
        [0.9 - 0.001 * n for n in range(31)],
        [0.5 + 0.4 * (n % 2) for n in range(31)],
        [0.7, 0.8],
        [math.nan] * 31,
    ],
)
def test_what_is_no_line_to_the_limit_is_no_forecast(values: list[float]) -> None:
    assert reaches(every(1, *values), 1.0) is None


def test_a_figure_is_unusual_only_beside_its_own_hour() -> None:
    nights = [0.003, 0.0031, 0.0029, 0.003, 0.0032, 0.0028, 0.003, 0.0031]
    strange, plain = usual(0.041, nights), usual(0.0031, nights)
    assert strange is not None
    assert plain is not None
    assert (strange.ordinary, plain.ordinary) == (False, True)
    assert usual(0.041, nights[:3]) is None
    flat = usual(2.0, [1.0] * 8)
    assert flat is not None
    assert not flat.ordinary


@given(st.lists(st.floats() | st.just(math.nan), max_size=300))
def test_any_figures_have_a_course_of_a_few_characters(values: list[float]) -> None:
    assert len(sparkline(values)) <= 24


def test_a_course_reads_from_left_to_right() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([1, math.nan, 1]) == "▁ ▁"


@given(st.lists(st.floats(min_value=-1e12, max_value=1e12) | st.just(math.nan), min_size=2, max_size=60), st.text())
def test_a_chart_is_always_well_formed_and_within_its_frame(values: list[float], title: str) -> None:
    title = "".join(one for one in title if one.isprintable())
    drawn = svg(Chart(f"<{title}&", every(1, *values), 0.01, (Mark(NOW, "<b>"),)))
    if not drawn:
        assert sum(map(math.isfinite, values)) < 2
        return
    tree = ET.fromstring(drawn)  # noqa: S314 - our own text, which is what is tested
    for line in tree.iter("{http://www.w3.org/2000/svg}polyline"):
        places = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
        assert all(0 <= x <= 640 and 0 <= y <= 240 for x, y in places)
    assert len(drawn) < 20_000


def test_a_chart_shows_the_threshold_and_what_was_changed_when() -> None:
    changed = (Mark(NOW - timedelta(minutes=9), "scale 4 → 6"),)
    drawn = svg(Chart("errors", every(1, *[0.04] * 30), 0.01, changed, percent=True))
    assert "1 %" in drawn
    assert "▲ scale 4 → 6" in drawn
    assert "long ago" not in svg(Chart("x", every(1, 1, 2, 3), marks=(Mark(NOW - timedelta(hours=9), "long ago"),)))
    assert [figure(one) for one in (0.5, 1500, 2e9)] == ["0.5", "1.5k", "2G"]
