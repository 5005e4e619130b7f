"""A pace that never makes anybody wait, for tests in which time is not the matter."""

from responder.ports.pace import Beat


class Free:
    """Every turn is now (``ports.pace.Pace``)."""

    async def turn(self, key: str, beat: Beat, patience: float) -> float:
        return 0.0

    async def rest(self, key: str, seconds: float) -> None:
        """Forget it."""


FREE = Free()
