"""Golden tests: every headline as each channel shows it.

After a deliberate change: ``UPDATE_GOLDEN=1 pytest tests/unit/tell/test_golden.py``, and read the difference.
"""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import JsonValue

from responder.clients.pagerduty import PagerDutyClient
from responder.domain.notification import Headline
from responder.notifiers.console import ConsoleNotifier
from responder.notifiers.pagerduty import PagerDutyNotifier
from responder.notifiers.slack_blocks import blocks, fallback, thread
from tests.bed.slack_limits import refusal
from tests.unit.tell.stories import STORIES, Story, hostile

GOLDEN = Path(__file__).parents[2] / "golden" / "tell"
EVERY = {**STORIES, "hostile": hostile()}


class Recorded(PagerDutyClient):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Mapping[str, JsonValue]] = []

    async def send(self, event: Mapping[str, JsonValue]) -> None:
        self.events.append(event)

    async def send_change(self, event: Mapping[str, JsonValue]) -> None:
        """Change events are held in tests/conformance."""


async def shown(story: Story) -> str:
    """Render a story for every channel."""
    news, out, client = story.told(), io.StringIO(), Recorded()
    await ConsoleNotifier(out).deliver(news, "", None, "attempt")
    await PagerDutyNotifier(client, {"payments": "k" * 32}).deliver(news, "payments", None, "attempt")
    reply, _ = thread(news.entries)
    parts = {
        "console": out.getvalue(),
        "slack text": fallback(news),
        "slack blocks": json.dumps(blocks(news, pressable=True), ensure_ascii=False, indent=1),
        "slack thread": reply,
        "pagerduty": json.dumps(client.events, ensure_ascii=False, indent=1),
    }
    return "\n".join(f"--- {name}\n{part.rstrip()}" for name, part in parts.items()) + "\n"


@pytest.mark.parametrize("name", sorted(EVERY))
async def test_each_state_reads_as_agreed_in_every_channel(name: str) -> None:
    golden, text = GOLDEN / f"{name}.txt", await shown(EVERY[name])
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_every_headline_has_a_story() -> None:
    assert {story.told().headline for story in STORIES.values()} == set(Headline)


def test_every_golden_belongs_to_a_story() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(EVERY)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_slack_would_take_every_message_for_a_post_and_for_an_edit(name: str) -> None:
    news = EVERY[name].told()
    for body in (blocks(news, pressable=True), thread(news.entries)[1]):
        assert refusal(fallback(news), body, None, None, update=True) is None
