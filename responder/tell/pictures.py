"""The chart of an incident: the course of its alert's expression, with what was changed and when. Pure."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from responder.domain.chart import Chart, Mark, svg
from responder.domain.findings import Finding
from responder.domain.notification import Account
from responder.domain.records import RecordState
from responder.tell.lines import made, seen_of
from responder.tell.words import change

_MADE = frozenset({RecordState.APPLIED, RecordState.UNDONE, RecordState.DRIFTED, RecordState.UNDO_FAILED})


def chart_of(account: Account) -> str:
    """Return the chart as SVG, empty while there is none."""
    course = next((one for one in account.findings if one.kind == "chart"), None)
    return svg(_chart(account, course, course.data)) if course is not None and isinstance(course.data, Mapping) else ""


def _chart(account: Account, course: Finding, data: Mapping[str, object]) -> Chart:
    written, threshold = data.get("points"), data.get("threshold")
    points = [one for one in written if isinstance(one, list)] if isinstance(written, list) else []
    return Chart(
        title=str(data.get("expression") or course.text),
        points=[(datetime.fromtimestamp(float(at), UTC), _number(value)) for at, value in points],
        threshold=float(threshold) if isinstance(threshold, int | float) else None,
        marks=tuple(_marks(account)),
        percent=bool(data.get("percent")),
    )


def _number(value: object) -> float:
    """JSON has no NaN: what was not measured is null there."""
    return float(value) if isinstance(value, int | float) else float("nan")


def _marks(account: Account) -> Iterator[Mark]:
    for one in account.records:
        if one.state in _MADE:
            yield Mark(one.settled_at or one.created_at, made(one) or one.step)
        if one.state is RecordState.UNDONE and one.undone_at is not None:
            yield Mark(one.undone_at, f"undone: {change(seen_of(one), one.before, done=True) or one.step}")
