"""A few stories of ``make model``, and that it notices what is wrong."""

import pytest
from hypothesis import HealthCheck, settings

from responder.decide import correlate
from responder.decide.correlate import Change, Sighting
from tests.attack.model import Model, stories

TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=3, stateful_step_count=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def test_the_model_notices_an_alert_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlate, "_resolved", lambda known, *_, **__: Sighting(Change.IGNORED, known))
    assert "wanted" in stories(20, steps=12, hastily=True)
