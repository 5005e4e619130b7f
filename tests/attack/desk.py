"""Slack and PagerDuty in a thread of their own: what they show is the judge of what people were told."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bed.pagerduty_peer import ROUTING_KEY, PagerDutyPeer
from tests.bed.slack_peer import Message, SlackPeer
from tests.bed.web import JsonObject, serving

EVENT = "responder_incident"
"""How a message of an incident names itself in its metadata."""


@dataclass(slots=True)
class Desk:
    """Both peers, at their real limits; ``channels`` is how many Slack has, called ``c0``, ``c1`` and so on."""

    channels: int
    slack: SlackPeer = field(init=False)
    pagerduty: PagerDutyPeer = field(default_factory=PagerDutyPeer)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def __post_init__(self) -> None:
        """Make the workspace."""
        self.slack = SlackPeer(channels={f"c{number}": f"C{number:08d}" for number in range(self.channels)})

    def notify(self) -> JsonObject:
        """Return the configuration's ``notify``."""
        return {
            "slack": {"token": self.slack.token, "api_url": self.slack.api_url},
            "pagerduty": {"services": {"oncall": {"routing_key": ROUTING_KEY}}, "api_url": self.pagerduty.url},
        }

    def routes(self, label: str) -> list[JsonObject]:
        """Return a route to each channel, for the alerts whose ``label`` names it."""
        return [
            {"matchers": [f'{label}="c{number}"'], "slack": f"#c{number}", "incidents": "all"}
            for number in range(self.channels)
        ]

    def messages(self, incident: str) -> list[Message]:
        """Return the incident's own messages, not those in threads."""
        return [one for one in list(self.slack.messages) if _incident(one) == incident]

    def replies(self, message: Message) -> list[Message]:
        """Return what stands in a message's thread."""
        return [one for one in list(self.slack.messages) if one.thread_ts == message.ts and one is not message]

    def pages(self, incident: str) -> list[str]:
        """Return how the incident's pages stand."""
        return [one.status for one in self.pagerduty.incidents if one.dedup_key.endswith(f"/{incident}")]


def _incident(message: Message) -> str:
    metadata = message.metadata or {}
    return str(metadata["event_payload"].get("incident")) if metadata.get("event_type") == EVENT else ""


@contextlib.contextmanager
def desk(channels: int) -> Iterator[Desk]:
    """Serve both peers until the block ends."""
    made, ready, done = Desk(channels), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with serving(made.slack.app()) as made.slack.url, serving(made.pagerduty.app()) as made.pagerduty.url:
            ready.set()
            await done.wait()

    thread = threading.Thread(target=made.loop.run_until_complete, args=(serve(),), name="desk", daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield made
    finally:
        made.loop.call_soon_threadsafe(done.set)
        thread.join(10)
        made.loop.close()
