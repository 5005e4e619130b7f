"""What may happen to an item of a simulated day: the playbooks of the crash scenarios, and some that only a day has."""

from collections.abc import Mapping

from tests.attack.scenarios import HARDER_STEP, LISTED, PLAYBOOKS, in_portions
from tests.bed.playbooks import change_item

_UNTIL = "steps_until: verified\n"
_ANYWAY = "at_least: 1"
"""What holds with the change and without it."""
_BETWEEN = in_portions(at_most=99)
_AT_THE_END = "    gradual:\n      by: 50%\n      verify: end\n"


def _lent(text: str, seconds: int, needs: str = _ANYWAY) -> str:
    return text.replace("equals: 5", needs) + f"revert_after: {seconds}s\n"


KINDS: Mapping[str, str] = {
    **{file.removesuffix(".yaml"): text for file, text in PLAYBOOKS.items()},
    "exhausts": change_item("exhausts", more_steps=HARDER_STEP, wanted=99, within="250ms") + _UNTIL,
    "piles-up": change_item("piles-up", more_steps=HARDER_STEP, wanted=99, within="250ms")
    + _UNTIL
    + "on_failure: keep\n",
    "missed": _lent(change_item("missed"), 5, needs="at_least: 5"),
    "harder-lent": _lent(change_item("harder-lent", more_steps=HARDER_STEP), 40, needs="at_least: 6") + _UNTIL,
    "listed-lent": _lent(LISTED.replace("listed", "listed-lent").replace("at_most: 5", "at_most: 99"), 40),
    "portions-lent": _lent(change_item("portions-lent", more_keys=_BETWEEN, adds=3), 40),
    "portions-missed": _lent(
        change_item("portions-missed", more_keys=_BETWEEN, adds=3), 5, needs="at_least: 6"
    ).replace("by: 1\n", "by: 1\n      verify: end\n", 1),
    "portions-at-end": change_item("portions-at-end", more_keys=_AT_THE_END, adds=4, wanted=99, within="250ms"),
}
"""By the names of the playbooks."""
ESCALATES = frozenset(name for name, text in KINDS.items() if _UNTIL in text and "on_failure: keep" not in text)
"""Those that undo what did not help before they try the next."""
LENDS = frozenset(name for name, text in KINDS.items() if "revert_after:" in text)
A_DAY = 6
"""So many of them happen on one day: with all, each would seldom happen twice."""
