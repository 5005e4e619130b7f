"""Microsoft Teams: each change of state as an adaptive card, through a workflow's webhook."""

import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from responder.clients.posting import Poster
from responder.domain.errors import DeliveryError
from responder.domain.notification import Headline, Notification, Receipt
from responder.notifiers.states import body, head, links, on_change, on_the_way
from responder.notifiers.text import cut, line

CARD_BYTES = 24_000
"""Teams takes messages of 28 KB (learn.microsoft.com, limits and specifications for Teams)."""
RUNS = 40
_COLOURS: Mapping[str, str] = {"#d32f2f": "attention", "#f57c00": "warning", "#388e3c": "good", "#7b1fa2": "accent"}


class TeamsNotifier:
    """Posts to the workflows that the configuration names; a card that was posted that way cannot be edited."""

    kind = "teams"

    def __init__(self, workflows: Mapping[str, Poster]) -> None:
        """``workflows`` are what posts, by name."""
        self._workflows = dict(workflows)

    async def deliver(self, notification: Notification, address: str, receipt: Receipt | None, attempt: str) -> Receipt:
        """Post a card when the state has changed."""
        poster = self._workflows.get(address)
        if poster is None:
            raise DeliveryError(f"notify.teams has no {address!r}", permanent=True)

        async def post(news: Notification, _: int) -> None:
            await poster.post(json.dumps(_message(news)).encode(), {})

        return await on_change(notification, receipt, post)

    def on_the_way(self, notification: Notification, address: str, receipt: Receipt | None) -> Receipt | None:
        """Say what is known while a message is on its way."""
        return on_the_way(notification, receipt)

    async def find(self, address: str, attempt: str) -> Receipt | None:
        """A workflow cannot be asked what it has posted."""
        return None


def _message(news: Notification) -> dict[str, JsonValue]:
    """Return a message with one card, cut line by line until it is small enough."""
    lines = list(body(news))[:RUNS]
    while True:
        card = _card(news, lines)
        attachment: dict[str, JsonValue] = {
            "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card
        }  # fmt: skip
        message: dict[str, JsonValue] = {"type": "message", "attachments": [attachment]}
        if len(json.dumps(message)) <= CARD_BYTES or not lines:
            return message
        lines = [cut(one, max(40, len(one) // 2)) for one in lines[: max(1, len(lines) * 3 // 4)]]
        lines = [] if len(lines) == 1 and len(lines[0]) <= 40 else lines  # noqa: PLR2004 - cannot be cut further


def _card(news: Notification, lines: Sequence[str]) -> dict[str, JsonValue]:
    """Return the card. Runs of text are shown as they are: Markdown and mentions in a label stay what is written."""
    actions: list[JsonValue] = [
        {"type": "Action.OpenUrl", "title": text, "url": url} for text, url in links(news, longest=1000)
    ]
    told: list[JsonValue] = [_text([{"type": "TextRun", "text": line(one, 2000)}]) for one in lines]
    first: dict[str, JsonValue] = {
        "type": "TextRun", "text": cut(head(news), 300), "weight": "bolder", "size": "large", **_coloured(news.headline)
    }  # fmt: skip
    return {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": cut(head(news), 300),
        "msteams": {"width": "Full"},
        "body": [_text([first]), *told],
        "actions": actions,
    }


def _text(runs: list[JsonValue]) -> dict[str, JsonValue]:
    return {"type": "RichTextBlock", "inlines": runs}


def _coloured(word: Headline) -> dict[str, JsonValue]:
    return {"color": _COLOURS[word.colour]} if word.colour in _COLOURS else {}
