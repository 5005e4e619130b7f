"""A digest: in a storm one message of a destination tells of all its incidents that need nobody, the worst first."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import JsonValue

from responder.domain.alerts import Severity
from responder.domain.notification import Headline, Line, Notification, Receipt
from responder.ports.store import OutboxItem
from responder.tell.words import short

KINDS = frozenset({"slack"})
"""Channels that people read like a conversation, where a message can be edited: there a hundred of them bury the one
that matters. A pager is asked only for those that need a person, and the console keeps everything."""
SHOWN = 15
READ = 5_000
"""Lines that are read to find the worst."""
REST = timedelta(seconds=15)
"""Between two edits of a digest."""
LOOK = timedelta(seconds=30)
"""Between two looks at what a digest says of an incident: reading two thousand of them takes the time of acting."""
PAUSE_SECONDS = 5.0
"""Between two gatherings at a destination: what comes meanwhile is read at once, and most of it is fixed by then."""
TITLE = 110
_ORDER = {word: place for place, word in enumerate((
    Headline.FIRING, Headline.TAKEN_BACK, Headline.UNDOING, Headline.FIXING, Headline.OBSERVED, Headline.FIXED,
    Headline.RESOLVED,
))}  # fmt: skip


_WORDS = {str(word): word for word in Headline}


@dataclass(frozen=True, slots=True)
class Storm:
    """When it is one: more than ``after`` incidents at a destination ``within`` a time."""

    after: int = 5
    within: timedelta = timedelta(minutes=5)


def gathered(item: OutboxItem) -> bool:
    """Say whether a digest tells of it."""
    return item.digest is not None and item.receipt is not None and "line" in item.receipt


def alone(news: Notification) -> bool:
    """Say whether an incident is told by itself whatever storm there is: somebody is needed."""
    return bool(news.page) or news.headline not in _ORDER


def line_of(news: Notification) -> dict[str, JsonValue]:
    """Return what a digest says of an incident."""
    url = next((url for text, url in news.links if text == "incident"), "")
    return {
        "line": short(news.title, TITLE),
        "word": str(news.headline),
        "severity": str(news.severity),
        "url": url,
    }


def compose_digest(
    digest_id: str, lines: Sequence[Receipt], revision: int, destination: str, external_url: str
) -> Notification:
    """Return the message that tells of many incidents; its lines link to each."""
    ordered = sorted(lines, key=_rank)
    words = Counter(_word(one) for one in ordered)
    worst = _word(ordered[0])
    over = worst in (Headline.FIXED, Headline.RESOLVED)
    counts = ", ".join(f"{words[word]} {str(word).lower()}" for word in _ORDER if words[word])
    shown = [Line(_word(one).icon, _text(one), str(one.get("url") or "")) for one in ordered[:SHOWN]]
    more = len(ordered) - len(shown)
    rest = [Line("…", f"{more} more, none of them worse")] if more else []
    heading = f"{worst}, all of them" if over and len(words) == 1 else str(worst)
    title = f"{len(ordered)} incidents"
    base = external_url.rstrip("/")
    return Notification(
        incident_id=digest_id,
        revision=revision,
        headline=worst,
        title=title,
        severity=Severity(str(ordered[0].get("severity"))),
        team="",
        since=datetime.min,  # noqa: DTZ901 - no channel with digests shows it
        summary=f"A storm, told in one message: {counts}. Who needs a person has a message of its own.",
        lines=(*shown, *rest),
        why="",
        by_hand="",
        facts=(("time", heading),),
        links=(("all incidents", f"{base}/incidents"),) if base else (),
        entries=(),
        fallback=short(f"{worst.icon} {title} in a storm: {counts}", 1000),
        source=destination,
        group_key="",
        resolved=over,
    )


def _word(line: Receipt) -> Headline:
    return _WORDS[str(line.get("word"))]


def _rank(line: Receipt) -> tuple[int, int, str]:
    return _ORDER.get(_word(line), 0), Severity(str(line.get("severity"))).rank, str(line.get("line"))


def _text(line: Receipt) -> str:
    return f"{line.get('severity')} · {line.get('line')} · {line.get('word')}"
