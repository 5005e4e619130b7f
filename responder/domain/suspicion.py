"""When the store's clock is not to be trusted: it disagreed with this machine, or another server has taken over."""

from dataclasses import dataclass
from datetime import datetime

from responder.domain.limits import Refusal
from responder.domain.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Until ``until`` at least no forward effect starts and no lease is taken over.

    ``since`` is when the disagreement was seen, by the store's clock: a verification counts again from there.
    """

    since: datetime
    until: datetime
    why: str

    def refusal(self) -> Refusal:
        """Return why a forward effect is refused."""
        return Refusal(Verdict.CLOCK_SUSPECT, f"{Verdict.CLOCK_SUSPECT.sentence} {self.why}", self.until)
