"""Small pieces of text: instants, changes and cuts, the same in every message."""

from datetime import datetime, timedelta

from pydantic import JsonValue

from responder.domain.images import event, leaves, short

__all__ = ["change", "clock", "short", "until"]

NOTHING = "–"
WITH_SECONDS = timedelta(minutes=5)
"""Of what lasts less long than this, the end is told with its second."""
CHANGES_SHOWN = 6
"""How many keys of an image are named in one line."""


def clock(at: datetime) -> str:
    """Return the time of day; a message stands on one day, its links lead to the dates."""
    return f"{at:%H:%M} UTC"


def until(at: datetime, since: datetime | None) -> str:
    """Return until when something lasts that began at ``since``: with seconds, where minutes would not tell."""
    return f"{at:%H:%M:%S} UTC" if since is not None and at - since < WITH_SECONDS else clock(at)


def change(before: JsonValue, after: JsonValue, *, done: bool = False) -> str:
    """Return what differs between two images: ``workers: 4 → 6``; empty when nothing is known to differ.

    What leaves no state is told as what it is: ``run `restart-web eu```, and ``ran`` it once it is ``done``.
    """
    happened = event(before, after, done=done)
    if happened:
        return happened
    old, new = dict(leaves(before)), dict(leaves(after))
    names = [name for name in dict.fromkeys((*old, *new)) if old.get(name, NOTHING) != new.get(name, NOTHING)]
    parts = [
        f"{f'{name}: ' if name else ''}{old.get(name, NOTHING)} → {new.get(name, NOTHING)}"
        for name in names[:CHANGES_SHOWN]
    ]
    if len(names) > CHANGES_SHOWN:
        parts.append(f"{len(names) - CHANGES_SHOWN} more")
    return ", ".join(parts)
