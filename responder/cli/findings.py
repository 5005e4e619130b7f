"""What ``responder doctor`` found: one line each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: how it is (✔ well, ! worth knowing, ✘ to mend), what, and a sentence."""

    mark: Literal["✔", "!", "✘"]
    subject: str
    text: str

    def __str__(self) -> str:
        """Write the line."""
        return f"{self.mark} {self.subject}: {self.text}"


def well(subject: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding("✔", subject, text)


def note(subject: str, text: str) -> Finding:
    """Worth knowing, nothing that must be mended."""
    return Finding("!", subject, text)


def wrong(subject: str, text: str) -> Finding:
    """To be mended."""
    return Finding("✘", subject, text)


def summary(found: Sequence[Finding]) -> str:
    """Count them: ``9 looked at: 1 to mend, 2 worth knowing.``."""
    mend = sum(one.mark == "✘" for one in found)
    know = sum(one.mark == "!" for one in found)
    return f"{len(found)} looked at: {mend} to mend, {know} worth knowing."
