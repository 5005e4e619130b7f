"""How long a run may take, by what its playbook does."""

from datetime import timedelta

import pytest

from responder.app import catalogue
from responder.domain.modes import Mode
from responder.domain.runs import SETTLES
from responder.playbook.schema import load_playbook
from responder.playbook.times import GRACE, time_allowed
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
