"""When to try again what a target has certainly not done: after our own back-off, or when the target asks us to."""

from dataclasses import replace
from datetime import datetime, timedelta

from responder.domain.runs import Run
from responder.domain.sentences import sentences
from responder.language.durations import human_duration

LONGEST_WAIT = timedelta(minutes=5)
"""Longer than this nobody waits for a target (``Retry-After``): the alert fires, and a person can do something."""


def later(now: datetime, usual: timedelta, asked: timedelta | None, deadline: datetime | None) -> datetime | None:
    """Return when to try again: not before ``asked``; None when that is too long to wait, or after the deadline."""
    wait = max(usual, asked or timedelta())
    if asked is not None and (wait > LONGEST_WAIT or (deadline is not None and now + wait >= deadline)):
        return None
    return now + wait


def too_long(why: str, asked: timedelta | None) -> str:
    """Return why it is not tried again by this run."""
    wait = human_duration(asked or timedelta())
    return sentences(why, f"It asks to be left alone for {wait} (Retry-After), longer than the run can wait.")


def told(why: str, asked: timedelta | None) -> str:
    """Return why it failed, with what the target asks for."""
    return sentences(why, f"It asks to be left alone for {human_duration(asked)} (Retry-After).") if asked else why


def left_alone(run: Run, until: datetime | None) -> Run:
    """Keep with the run until when its target wants to be left alone: it outlasts the run, and decide goes by it."""
    if until is None:
        return run
    return replace(run, progress=run.progress.model_copy(update={"left_alone_until": until}))
