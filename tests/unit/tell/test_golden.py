"""Golden tests: every headline as each channel shows it.

After a deliberate change: ``UPDATE_GOLDEN=1 pytest tests/unit/tell/test_golden.py``, and read the difference.
"""

import io
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from responder.clients.pagerduty import PagerDutyClient
from responder.domain.notification import Headline
from responder.notifiers.console import ConsoleNotifier
from responder.notifiers.pagerduty import PagerDutyNotifier
from responder.notifiers.slack_blocks import WHOLE, blocks, characters, fallback, question, thread
from tests.bed.slack_limits import refusal
from tests.unit.tell.stories import STORIES, Story, hostile

GOLDEN = Path(__file__).parents[2] / "golden" / "tell"
MENTION = "<!subteam^S0ONCALL>"
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
    called = MENTION if news.page else ""
    await ConsoleNotifier(out).deliver(news, "", None, "attempt")
    await PagerDutyNotifier(client, {"payments": "k" * 32}).deliver(news, "payments", None, "attempt")
    replies = [_lines(reply.blocks) for reply in thread(news.entries, MENTION)]
    asking = [question(one, news, pressable=True)[1] for one in news.questions]
    parts = {
        "console": out.getvalue(),
        "slack text": fallback(news),
        "slack blocks": json.dumps(blocks(news, pressable=True, mention=called), ensure_ascii=False, indent=1),
        "slack questions": json.dumps(asking, ensure_ascii=False, indent=1),
        "slack thread": "\n---\n".join(replies),
        "pagerduty": json.dumps(client.events, ensure_ascii=False, indent=1),
    }
    return "\n".join(f"--- {name}\n{part.rstrip()}" for name, part in parts.items() if part != "[]") + "\n"


def _lines(value: object) -> str:
    """Return every text of some blocks."""
    if isinstance(value, list):
        return "\n".join(filter(None, (_lines(one) for one in value)))
    if not isinstance(value, dict):
        return ""
    own = value["text"] if isinstance(value.get("text"), str) else ""
    return "\n".join(filter(None, (own, *(_lines(one) for one in value.values() if not isinstance(one, str)))))


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


def test_a_message_with_everything_that_can_be_long_stays_within_its_bounds() -> None:
    one = hostile().told()
    notes = tuple(("diagnose", f"{number} " + "d" * 400) for number in range(40))
    asked = [(f"question {number}", "https://slack.example/" + "p" * 370) for number in range(9)]
    ahead, by_hand = "n" * 900, "b" * 9_000
    facts = (*one.facts, ("meaning", "m" * 2_000), ("impact", "i" * 2_000))
    lines = one.lines * 40
    links = tuple((f"l{number}", "https://l.example/" + "l" * 370) for number in range(9))
    long = replace(one, notes=notes, ahead=ahead, by_hand=by_hand, facts=facts, lines=lines, links=links)
    body = blocks(long, pressable=True, mention=MENTION, asked=asked)
    assert characters(body) <= WHOLE
    assert refusal("x", body, None, None, update=True) is None
    assert "more, in the thread" in json.dumps(body)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_slack_would_take_every_message_for_a_post_and_for_an_edit(name: str) -> None:
    news = EVERY[name].told()
    bodies = [blocks(news, pressable=True, mention=MENTION), *(one.blocks for one in thread(news.entries, MENTION))]
    bodies += [question(one, news, pressable=True)[1] for one in news.questions]
    for body in bodies:
        assert refusal(fallback(news), body, None, None, update=True) is None
        assert characters(body) <= WHOLE
