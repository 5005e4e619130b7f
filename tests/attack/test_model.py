"""The specification beside the real thing, for a few stories."""

from hypothesis import HealthCheck, settings

from tests.attack.model import Model

TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
