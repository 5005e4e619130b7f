"""The chart of an incident: the course of its alert's expression, with what was changed and when. Pure."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from responder.domain.chart import Chart, Mark, drawable, svg
from responder.domain.findings import Finding
from responder.domain.notification import END, FIRST, Account, Headline, Picture
from responder.domain.records import RecordState
from responder.tell.headline import LATCHED, OVER, main_run
from responder.tell.lines import made, seen_of
from responder.tell.words import change

ENDS = OVER | frozenset(LATCHED.values()) | {Headline.NOT_UNDONE, Headline.TAKEN_BACK}
"""Words after which the chart shows how it went."""
_MADE = frozenset({RecordState.APPLIED, RecordState.UNDONE, RecordState.DRIFTED, RecordState.UNDO_FAILED})


def chart_of(account: Account) -> str:
    """Return the chart as SVG, empty while there is none."""
    found = _drawn(account)
    return svg(found[1]) if found is not None else ""


def picture_of(account: Account, word: Headline) -> Picture | None:
    """Return the chart for channels that show pictures, None while there is none."""
    found = _drawn(account)
    if found is None or not drawable(found[1]):
        return None
    course, chart = found
    if word not in ENDS:
        return Picture(FIRST, chart)
    ended = _ended(account)
    return Picture(END, chart, stale=ended is not None and course.at < ended)


def _ended(account: Account) -> datetime | None:
    """Return when the last of it ended: what was drawn before cannot show that."""
    run = main_run(account)
    ends = [account.incident.resolved_at, (run.kept_at or run.finished_at) if run is not None else None]
    return max((one for one in ends if one is not None), default=None)


def _drawn(account: Account) -> tuple[Finding, Chart] | None:
    course = next((one for one in account.findings if one.kind == "chart"), None)
    if course is None or not isinstance(course.data, Mapping):
        return None
    return course, _chart(account, course, course.data)


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
