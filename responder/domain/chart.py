"""A chart of an alert's expression as SVG: the figures, the threshold, and when something was changed. Pure."""

import math
from collections.abc import Sequence
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


def svg(chart: Chart) -> str:
    """Return the chart; empty when there is nothing to draw. Every text in it is escaped."""
    known = [(at, value) for at, value in chart.points if math.isfinite(value)]
    if len(known) < 2:  # noqa: PLR2004 - a line has two ends
        return ""
    scale = _Scale(known, chart.threshold)
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}" font-size="11" role="img">',
        f"<title>{escape(chart.title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="18" font-size="13" fill="{_INK}">{escape(chart.title[:90])}</text>',
        *_grid(chart, scale),
        *_limit(chart, scale),
        *(_mark(one, scale) for one in chart.marks[:MARKS] if scale.first <= one.at <= scale.last),
        *(f'<polyline fill="none" stroke="{_LINE}" stroke-width="2" points="{run}"/>' for run in _runs(chart, scale)),
        "</svg>",
    ]
    return "".join(parts)


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


def _grid(chart: Chart, scale: _Scale) -> Sequence[str]:
    lines = []
    for place in range(5):
        value = scale.low + (scale.high - scale.low) * place / 4
        y = scale.y(value)
        lines.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_GRID}"/>')
        lines.append(_text(_LEFT - 6, y + 4, figure(value, percent=chart.percent), "end"))
    for place in range(4):
        at = scale.first + (scale.last - scale.first) * place / 3
        anchor = ("start", "middle", "middle", "end")[place]
        lines.append(_text(scale.x(at), HEIGHT - 9, f"{at:%H:%M}", anchor))
    return lines


def _limit(chart: Chart, scale: _Scale) -> Sequence[str]:
    if chart.threshold is None:
        return ()
    y = scale.y(chart.threshold)
    ends = f'x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
    line = f'<line {ends} stroke="{_LIMIT}" stroke-dasharray="6 4"/>'
    return line, _text(WIDTH - _RIGHT, y - 5, figure(chart.threshold, percent=chart.percent), "end", _LIMIT)


def _mark(one: Mark, scale: _Scale) -> str:
    x = scale.x(one.at)
    anchor = "end" if x > WIDTH * 0.7 else "start"
    ends = f'x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"'
    line = f'<line {ends} stroke="{_MARK}" stroke-dasharray="2 3"/>'
    return line + _text(x + (-5 if anchor == "end" else 5), _TOP + 10, f"▲ {one.text[:40]}", anchor, _MARK)


def _runs(chart: Chart, scale: _Scale) -> Sequence[str]:
    """Return the figures as unbroken lines: what was not measured is not drawn."""
    runs: list[list[str]] = [[]]
    for at, value in chart.points:
        if math.isfinite(value):
            runs[-1].append(f"{scale.x(at):.1f},{scale.y(value):.1f}")
        elif runs[-1]:
            runs.append([])
    return [" ".join(run) for run in runs if len(run) > 1]


def _text(x: float, y: float, text: str, anchor: str, colour: str = _INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def figure(value: float, *, percent: bool = False) -> str:
    """Return a figure as people read it: ``4.1 %``, ``1.5k``."""
    if percent:
        return f"{value * 100:.3g} %"
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
