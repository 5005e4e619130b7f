"""The web bed, for tests against real senders."""

from tests.unit.web.conftest import bed

__all__ = ["bed"]
