"""Which brakes may touch an alert: in doubt, one more."""

from datetime import UTC, datetime

import pytest

from responder.domain.limits import Pause
from responder.web.touching import Row, subjects_of, touching

NOW = datetime(2026, 1, 5, tzinfo=UTC)
STORY: Row = {
    "incident": {"id": "inc-1", "team": "shop"},
    "decisions": [{"playbook": "restart", "target": "http/checkout"}, {"playbook": "", "target": ""}],
    "runs": [{"playbook": "restart", "target": "http/checkout/workers"}],
}
ACTIONS = {"restart": ("http.request",), "scale": ("kubernetes.scale",)}


def touched(scope: str, *candidates: str, story: Row = STORY) -> bool:
    subjects = list(subjects_of(story, candidates, ACTIONS))
    return touching([Pause("p", "pause", scope, "", "ana", NOW)], subjects, NOW) != []


@pytest.mark.parametrize(
    ("touches", "passes_by"),
    [
        ("playbook:re*", "playbook:nosuch"),
        ("action:http.*", "action:redis.*"),
        ("target:http/checkout", "target:http/elsewhere"),
        ("incident:inc-1", "incident:nope"),
        ("team:shop", "team:db"),
        ("all", "action:kubernetes.scale"),
    ],
)
def test_a_brake_is_named_that_covers_what_was_or_may_be_done(touches: str, passes_by: str) -> None:
    assert touched(touches)
    assert not touched(passes_by)


def test_what_is_not_known_is_covered() -> None:
    assert touched("target:http/elsewhere", "scale"), "its target was never rendered"
    assert touched("action:kubernetes.scale", "scale")
    assert touched("team:db", "scale", story={}), "without an incident nobody knows the team"
    assert touched("action:redis.*", "gone"), "nor what a playbook did that is no longer there"
