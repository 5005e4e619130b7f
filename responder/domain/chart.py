"""A chart of an alert's expression: the figures, the threshold, and when something was changed. Pure.

What is drawn is a list of shapes: ``svg`` writes them as text, ``clients.drawing`` paints them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape

from responder.domain.series import Point

WIDTH, HEIGHT = 640, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 34, 28
_INK, _GRID, _LINE, _LIMIT, _MARK = "#37474f", "#cfd8dc", "#1565c0", "#c62828", "#6a1b9a"
FONT = "DejaVu Sans, Verdana, sans-serif"
MARKS = 6


@dataclass(frozen=True, slots=True)
class Mark:
    """Something was changed at ``at``; ``text`` says what."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn. ``threshold`` None: there is none. ``percent``: the figures are shares."""

    title: str
    points: Sequence[Point]
    threshold: float | None = None
    marks: Sequence[Mark] = ()
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line through ``points``; ``dash`` is how much of it is drawn and left out in turn, 0 for all of it."""

    points: Sequence[tuple[float, float]]
    colour: str
    width: int = 1
    dash: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Words:
    """A text whose baseline is at ``y`` and whose ``anchor`` (start, middle, end) is at ``x``."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    colour: str = _INK
    size: int = 11


Shape = Stroke | Words


def drawable(chart: Chart) -> bool:
    """Say whether there is anything to draw."""
    return len(_known(chart)) > 1


def _known(chart: Chart) -> Sequence[Point]:
    return [(at, value) for at, value in chart.points if math.isfinite(value)]


def shapes(chart: Chart) -> Sequence[Shape]:
    """Return what is drawn, in order, on a white ground; nothing when there is nothing to draw."""
    known = _known(chart)
    if not drawable(chart):
        return ()
    scale = _Scale(known, chart.threshold)
    return [
        Words(_LEFT, 18, chart.title[:90], size=13),
        *_grid(chart, scale),
        *_limit(chart, scale),
        *(
            shape
            for place, one in enumerate(chart.marks[:MARKS])
            if scale.first <= one.at <= scale.last
            for shape in _mark(one, place, scale)
        ),
        *(Stroke(run, _LINE, 2) for run in _runs(chart, scale)),
    ]


def svg(chart: Chart) -> str:
    """Return the chart; empty when there is nothing to draw. Every text in it is escaped."""
    drawn = shapes(chart)
    if not drawn:
        return ""
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}" font-size="11" role="img">',
        f"<title>{escape(chart.title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *(_text(one) if isinstance(one, Words) else _line(one) for one in drawn),
        "</svg>",
    ]
    return "".join(parts)


def _line(one: Stroke) -> str:
    dash = f' stroke-dasharray="{one.dash[0]} {one.dash[1]}"' if any(one.dash) else ""
    if len(one.points) == 2:  # noqa: PLR2004 - its two ends
        (x1, y1), (x2, y2) = one.points
        ends = f'x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"'
        return f'<line {ends} stroke="{one.colour}" stroke-width="{one.width}"{dash}/>'
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in one.points)
    return f'<polyline fill="none" stroke="{one.colour}" stroke-width="{one.width}" points="{points}"/>'


def _text(one: Words) -> str:
    size = f' font-size="{one.size}"' if one.size != 11 else ""  # noqa: PLR2004 - the size of the whole
    place = f'x="{one.x:.1f}" y="{one.y:.1f}" text-anchor="{one.anchor}"'
    return f'<text {place} fill="{one.colour}"{size}>{escape(one.text)}</text>'


class _Scale:
    """From figures and instants to places."""

    def __init__(self, known: Sequence[Point], threshold: float | None) -> None:
        values = [value for _, value in known] + ([threshold] if threshold is not None else [])
        low, high = min(values), max(values)
        room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
        self.low = 0.0 if low >= 0 and low - room < high * 0.3 else low - room
        self.high = high + room
        self.first, self.last = known[0][0], known[-1][0]

    def x(self, at: datetime) -> float:
        span = (self.last - self.first) / timedelta(seconds=1) or 1.0
        return _LEFT + (at - self.first) / timedelta(seconds=1) / span * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (value - self.low) / (self.high - self.low) * (HEIGHT - _TOP - _BOTTOM)


def _grid(chart: Chart, scale: _Scale) -> Iterator[Shape]:
    for place in range(5):
        value = scale.low + (scale.high - scale.low) * place / 4
        y = scale.y(value)
        yield Stroke(((_LEFT, y), (WIDTH - _RIGHT, y)), _GRID)
        yield Words(_LEFT - 6, y + 4, figure(value, percent=chart.percent), "end")
    for place in range(4):
        at = scale.first + (scale.last - scale.first) * place / 3
        anchor = ("start", "middle", "middle", "end")[place]
        yield Words(scale.x(at), HEIGHT - 9, f"{at:%H:%M}", anchor)


def _limit(chart: Chart, scale: _Scale) -> Iterator[Shape]:
    if chart.threshold is None:
        return
    y = scale.y(chart.threshold)
    yield Stroke(((_LEFT, y), (WIDTH - _RIGHT, y)), _LIMIT, dash=(6, 4))
    yield Words(WIDTH - _RIGHT, y - 5, figure(chart.threshold, percent=chart.percent), "end", _LIMIT)


def _mark(one: Mark, place: int, scale: _Scale) -> Iterator[Shape]:
    """Give a line, and words beside it: those of each below those of the one before, for they may be close."""
    x = scale.x(one.at)
    anchor = "end" if x > WIDTH * 0.7 else "start"
    yield Stroke(((x, _TOP), (x, HEIGHT - _BOTTOM)), _MARK, dash=(2, 3))
    yield Words(x + (-5 if anchor == "end" else 5), _TOP + 10 + 14 * place, f"▲ {one.text[:40]}", anchor, _MARK)


def _runs(chart: Chart, scale: _Scale) -> Sequence[Sequence[tuple[float, float]]]:
    """Return the figures as unbroken lines: what was not measured is not drawn."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in chart.points:
        if math.isfinite(value):
            runs[-1].append((scale.x(at), scale.y(value)))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if len(run) > 1]


def figure(value: float, *, percent: bool = False) -> str:
    """Return a figure as people read it: ``4.1 %``, ``1.5k``."""
    if percent:
        return f"{value * 100:.3g} %"
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
