"""What people can press on a message: values, the same for every channel that has buttons."""

from dataclasses import dataclass
from enum import StrEnum

MOST = 3
"""Buttons on one message: whoever is half asleep must not have to look for the right one."""


class Press(StrEnum):
    """What a button asks for."""

    APPROVE = "approve"
    REJECT = "reject"
    UNDO = "undo"
    STOP = "stop"
    ACK = "ack"


@dataclass(frozen=True, slots=True)
class Button:
    """One button: what it asks for, of which run, and what a person is shown before it counts.

    ``run`` is empty where it is about the incident itself. ``revision`` stands for what the button shows: it is another
    one once that has changed, so that a click on an old message is known for what it is. ``asks`` is the question,
    ``shows`` what would follow, line by line, and ``place`` where, in a few letters.
    """

    press: Press
    label: str
    incident: str
    run: str
    revision: str
    asks: str
    shows: tuple[str, ...] = ()
    place: str = ""
