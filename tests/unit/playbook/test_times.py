"""How long a run may take, by what its playbook does."""

import inspect
from datetime import timedelta
from pathlib import Path

import pytest

from responder.act.engine import EFFECT_SECONDS
from responder.app import catalogue
from responder.domain.modes import Mode
from responder.domain.runs import SETTLES
from responder.playbook.schema import load_playbook
from responder.playbook.steps import LONGEST_ANSWER
from responder.playbook.times import GRACE, time_allowed
from responder.ports.action import Action
from tests.bed.playbooks import change_item

MINUTE = timedelta(minutes=1)
ONCE = 4 * MINUTE
"""A minute, and as often again as there are retries."""
JUDGED = timedelta(seconds=1) + SETTLES


def allowed(keys: str) -> timedelta:
    playbook = load_playbook(change_item("one", more_keys=keys), "one.yaml", catalogue(), None)
    return time_allowed(playbook, Mode.AUTO) - GRACE - JUDGED


@pytest.mark.parametrize(
    ("keys", "portions", "times_judged"),
    [
        ("", 1, 0),
        ("    gradual:\n      by: 1\n", 20, 20),
        ("    gradual:\n      by: 25%\n", 4, 4),
        ("    gradual:\n      by: 25%\n      verify: end\n", 4, 0),
    ],
)
def test_there_is_room_for_every_portion_and_what_is_judged_between(
    keys: str, portions: int, times_judged: int
) -> None:
    assert allowed(keys) == portions * ONCE + times_judged * JUDGED


def test_one_answer_is_waited_for_as_long_as_check_says() -> None:
    assert LONGEST_ANSWER.total_seconds() == EFFECT_SECONDS


def test_whatever_goes_on_behind_its_answer_says_so() -> None:
    """What says that it is running, or how it has ended, may take as long as the step's ``timeout`` allows."""
    for name, action in catalogue().actions.items():
        source = Path(inspect.getfile(action)).read_text(encoding="utf-8")
        going_on = "Landed.RUNNING" in source or action.ended is not Action.ended
        assert action.goes_on == going_on, name
