"""What this process decided last about an episode, so that a verdict that stays the same is not told again.

Losing it, or another replica deciding, costs one more edit of a message with the same words.
"""

from collections.abc import Iterable

from responder.domain.episodes import Decision

KEPT = 65_536


class Memory:
    """The last verdict of each episode and playbook, up to a bound."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._last: dict[tuple[str, str], str] = {}

    def news(self, decisions: Iterable[Decision]) -> bool:
        """Note the decisions; say whether one of them differs from the last."""
        news = False
        for decision in decisions:
            key = (decision.episode_id, decision.playbook)
            if self._last.get(key) != decision.verdict:
                self._last.pop(key, None)
                self._last[key] = decision.verdict
                news = True
        while len(self._last) > KEPT:
            del self._last[next(iter(self._last))]
        return news
