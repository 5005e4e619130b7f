"""Sealing the audit log: committed entries are chained into segments, so that what is changed afterwards shows. Pure.

A segment's hash covers its entries, its place in the log and the hash of the one before. Numbers are given to entries
before they are committed, so one may appear behind others that are sealed: the numbers that were missing are kept with
the segment for a while (``gaps``), and whoever appears there is sealed with the next one.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import JsonValue

GAP_LASTS = timedelta(minutes=10)
"""No transaction of ours stays open for longer: what is still missing then was rolled back."""
Span = tuple[int, int]
"""The first and the last of a row of numbers, both included."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the audit log."""

    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: JsonValue


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers that were missing when they were met, at ``since``."""

    low: int
    high: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Head:
    """What is kept of a segment outside the store."""

    number: int
    hash: str
    sealed_at: datetime


@dataclass(frozen=True, slots=True)
class Segment:
    """A sealed part of the log: the entries in ``spans``; ``last`` is the highest number that was sealed so far."""

    number: int
    prev: str
    after: int
    last: int
    spans: tuple[Span, ...]
    gaps: tuple[Gap, ...]
    sealed_at: datetime
    hash: str = ""

    @property
    def head(self) -> Head:
        """What is kept of it outside the store."""
        return Head(self.number, self.hash, self.sealed_at)

    @property
    def first(self) -> int:
        """The lowest number in it."""
        return self.spans[0][0] if self.spans else self.after + 1

    def open_gaps(self, now: datetime) -> tuple[Gap, ...]:
        """Return where entries may still appear."""
        return tuple(gap for gap in self.gaps if gap.since > now - GAP_LASTS)


def spans_of(numbers: Iterable[int]) -> tuple[Span, ...]:
    """Return ascending numbers as spans."""
    found: list[Span] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


def without(low: int, high: int, spans: Sequence[Span]) -> Iterator[Span]:
    """Give what is left of ``low`` to ``high`` when ascending ``spans`` are taken out."""
    for first, last in spans:
        if last < low or first > high:
            continue
        if first > low:
            yield low, first - 1
        low = last + 1
    if low <= high:
        yield low, high


def sealed(previous: Segment | None, entries: Sequence[Entry], now: datetime) -> Segment:
    """Return the segment of ``entries`` (ascending, at least one) behind ``previous``."""
    spans = spans_of(entry.seq for entry in entries)
    after = previous.last if previous is not None else 0
    last = max(after, spans[-1][1])
    known = previous.open_gaps(now) if previous is not None else ()
    left = [Gap(low, high, gap.since) for gap in known for low, high in without(gap.low, gap.high, spans)]
    left += [Gap(low, high, now) for low, high in without(after + 1, last, spans)]
    segment = Segment(
        number=previous.number + 1 if previous is not None else 1,
        prev=previous.hash if previous is not None else "",
        after=after,
        last=last,
        spans=spans,
        gaps=tuple(left),
        sealed_at=max(now, previous.sealed_at) if previous is not None else now,
    )
    return Segment(*_fields(segment), hash=hash_of(segment, entries))


def _fields(segment: Segment) -> tuple[int, str, int, int, tuple[Span, ...], tuple[Gap, ...], datetime]:
    return (
        segment.number, segment.prev, segment.after, segment.last, segment.spans, segment.gaps, segment.sealed_at,
    )  # fmt: skip


def hash_of(segment: Segment, entries: Iterable[Entry]) -> str:
    """Return the SHA-256 of a segment and its entries, in hexadecimal."""
    gaps = [[gap.low, gap.high, gap.since.isoformat()] for gap in segment.gaps]
    about = [segment.number, segment.prev, segment.after, segment.last, segment.spans, gaps]
    digest = hashlib.sha256(_line([*about, segment.sealed_at.isoformat()]))
    for one in entries:
        digest.update(_line([one.seq, one.at.isoformat(), one.actor, one.action, one.subject, one.details]))
    return digest.hexdigest()


def _line(values: object) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def wrong_with(before: Segment | None, segment: Segment, entries: Sequence[Entry]) -> str:
    """Return what is wrong with a segment behind ``before`` (None: the oldest that is kept), empty when nothing is."""
    name = f"segment {segment.number}"
    if before is not None and segment.number != before.number + 1:
        return f"segments {before.number + 1} to {segment.number - 1} are gone"
    if before is not None and (segment.prev, segment.after) != (before.hash, before.last):
        return f"{name} does not follow from segment {before.number}"
    missing = sum(high - low + 1 for low, high in segment.spans) - len(entries)
    if missing:
        return f"{name}: {missing} of its entries {'is' if missing == 1 else 'are'} gone"
    if segment.hash != hash_of(segment, entries):
        return f"{name}: what is there now is not what was sealed"
    return ""


def wrong_with_heads(heads: Iterable[Head], segments: Sequence[Head], now: datetime, keep: timedelta) -> Iterator[str]:
    """Give what is wrong by the heads that were kept outside; ``segments`` (ascending) are those that are there.

    What is older than ``keep`` may be gone at the beginning, and only there.
    """
    there = {one.number: one for one in segments}
    first, last = (segments[0].number, segments[-1].number) if segments else (1, 0)
    newest = max(heads := list(heads), key=lambda one: one.number, default=None)
    if newest is not None and newest.number > last:
        yield f"the log ends with segment {last}; segment {newest.number} was sealed at {newest.sealed_at:%F %T} UTC"
    for head in heads:
        if head.number in there and there[head.number].hash != head.hash:
            yield f"segment {head.number} is another one than the one that was sealed at {head.sealed_at:%F %T} UTC"
        elif head.number < first and head.sealed_at > now - keep:
            yield f"segment {head.number}, sealed at {head.sealed_at:%F %T} UTC, is gone before its time"


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look at the whole log came to; empty ``problems``: it is as it was sealed."""

    segments: int
    entries: int
    unsealed: int
    heads: int
    problems: tuple[str, ...]
