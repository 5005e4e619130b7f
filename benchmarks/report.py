"""One table per benchmark: what was measured, the ceiling of the same run, their ratio, the goal."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is to reach: a ratio to the ceiling, or the figure itself.

    ``timed`` figures depend on the machine: their goal was set on one whose speed is known.
    """

    kind: Literal["ratio", "least", "most"]
    number: float
    timed: bool = False

    def at(self, pace: float) -> "Goal":
        """Return what it comes to on a machine that is ``pace`` times as fast as the one it was set on."""
        if not self.timed:
            return self
        return replace(self, number=self.number * pace if self.kind == "least" else self.number / pace)

    def met(self, figure: float, ratio: float | None) -> bool:
        """Say whether it was reached."""
        if self.kind == "ratio":
            return ratio is not None and ratio >= self.number
        return figure >= self.number if self.kind == "least" else figure <= self.number

    def __str__(self) -> str:
        """Write it as ``≥ 0.25 ×`` or ``≤ 50``."""
        sign = "≤" if self.kind == "most" else "≥"
        return f"{sign} {number(self.number)}{' ×' if self.kind == 'ratio' else ''}"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure in ``unit``; ``ceiling`` is the same figure without us, measured in the same run."""

    what: str
    figure: float
    unit: str
    ceiling: float | None = None
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        """Figure to ceiling."""
        return self.figure / self.ceiling if self.ceiling else None

    def verdict(self, pace: float = 1.0) -> str:
        """``met``, ``missed``, or ``met at this pace`` by the goal for this machine; empty without a goal."""
        if self.goal is None:
            return ""
        if self.goal.met(self.figure, self.ratio):
            return "met"
        return "met at this pace" if self.goal.at(pace).met(self.figure, self.ratio) else "missed"


@dataclass(frozen=True, slots=True)
class Result:
    """What a benchmark found out. ``ceiling`` says what the ceiling is; ``quote`` is one line to be quoted."""

    title: str
    rows: Sequence[Row]
    ceiling: str
    quote: str

    def table(self, pace: float = 1.0) -> str:
        """Write it in columns, for a machine of this ``pace``."""
        heads = ("", "measured", "ceiling", "ratio", "goal", "")
        lines = [heads, *(_cells(row, pace) for row in self.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
        text = [self.title, ""]
        for line in lines:
            padded = [
                cell.ljust(width) if place in (0, 5) else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            text.append(f"  {'   '.join(padded)}".rstrip())
        return "\n".join([*text, "", f"  ceiling: {self.ceiling}", f"  → {self.quote}", ""])


def _cells(row: Row, pace: float) -> tuple[str, ...]:
    ceiling = "" if row.ceiling is None else f"{number(row.ceiling)} {row.unit}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f} ×"
    goal = "" if row.goal is None else str(row.goal)
    if row.goal is not None and row.goal.timed and pace != 1:
        goal = f"{goal} ({number(row.goal.at(pace).number)} here)"
    return row.what, f"{number(row.figure)} {row.unit}", ceiling, ratio, goal, row.verdict(pace)


def number(value: float) -> str:
    """Write three significant figures, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of the values lie (nearest rank); 0 without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
