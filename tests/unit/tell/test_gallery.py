"""Charts in Slack: when there is one and at the end, each once whatever is killed; no message waits for them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from responder.clients.drawing import png
from responder.clients.slack import SlackClient
from responder.domain.errors import DeliveryError, StoreError
from responder.domain.findings import Finding
from responder.domain.notification import Account, Notification, Receipt
from responder.notifiers.slack import SlackNotifier
from responder.notifiers.slack_pictures import SlackPictures
from responder.ports.notifier import Pictures
from responder.ports.store import OutboxItem
from responder.tell.courier import Courier
from tests.bed.paces import FREE
from tests.bed.slack_peer import SlackPeer
from tests.bed.web import Rate
from tests.unit.tell.outbox import MemoryOutbox, Moved
from tests.unit.tell.stories import DOCS, STORIES, URL, at

SLACK = "slack:C0ALERTS"


def charted(story: str, seconds: float = 8) -> Account:
    """Return a story in which the course of the expression was read so late."""
    points = [[at(one).timestamp(), 0.04 if one < 30 else 0.003] for one in range(-600, 200, 30)]
    data: Any = {"points": points, "threshold": 0.01, "percent": True, "expression": "job:errors:ratio2m"}
    return replace(STORIES[story].account, findings=(Finding("chart:expression", at(seconds), "▁█", data=data),))


FIXING, FIXED, STALE = charted("fixing"), charted("fixed", 3600), charted("fixed")


@dataclass(slots=True)
class Wall:
    """A courier with Slack and its pictures over an outbox; another one over the same outbox is a restart."""

    outbox: MemoryOutbox
    clock: Moved
    notifier: SlackNotifier
    pictures: Pictures
    facts: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    courier: Courier = field(init=False)

    def __post_init__(self) -> None:
        self.courier = Courier(
            self.outbox, self.clock, {"slack": self.notifier}, docs_of=lambda _: DOCS, external_url=URL,
            on_fact=self.hear, jitter=lambda: 0.0,
            sleep=self.clock.sleep, pictures={"slack": self.pictures},
        )  # fmt: skip

    def hear(self, name: str, /, **fields: object) -> None:
        self.facts.append((name, fields))

    async def tell(self, account: Account, seconds: float = 30) -> None:
        """Tell how an incident stands, and let time pass."""
        for _, destination in [key for key in self.outbox.rows if key[1] != SLACK]:
            self.outbox.tell(account, destination)
        self.outbox.tell(account, SLACK)
        await self.later(seconds)

    async def later(self, seconds: float = 60) -> None:
        for _ in range(3):
            self.clock.advance(seconds / 3)
            while await self.courier.turn():
                await self.courier.drain()

    def said(self) -> list[str]:
        return [name for name, _ in self.facts if name.startswith("picture")]


@pytest.fixture
async def hang(slack: SlackPeer) -> AsyncIterator[Callable[..., Wall]]:
    """Give a way to begin, and to begin again on the same outbox."""
    slack.posts = Rate(None, 1.0)
    slack.scopes.add("files:write")
    client = SlackClient(slack.token, api_url=slack.api_url, timeout=timedelta(seconds=3), pace=FREE)
    clock = Moved()
    outbox = MemoryOutbox(clock)

    def wall(pictures: Pictures | None = None) -> Wall:
        return Wall(outbox, clock, SlackNotifier(client, post_every=0.0), pictures or SlackPictures(client, png))

    yield wall
    await client.close()


def shown(slack: SlackPeer) -> list[str]:
    """Return the titles of the files that stand in a thread."""
    return [one.title for one in slack.files.values() if one.message is not None]


async def test_a_chart_is_shown_when_there_is_one_and_at_the_end_each_once(
    hang: Callable[..., Wall], slack: SlackPeer
) -> None:
    one = hang()
    await one.tell(STORIES["fixing"].account)
    assert not slack.files
    for account in (FIXING, charted("fixing", 9), FIXED, charted("resolved", 3600)):
        await one.tell(account)
    await hang().tell(FIXED)
    assert shown(slack) == ["job:errors:ratio2m so far", "job:errors:ratio2m at the end"]
    (message,) = [one for one in slack.messages if one.thread_ts == one.ts]
    for file in slack.files.values():
        assert file.message is not None
        assert file.message.thread_ts == message.ts
        assert file.data.startswith(b"\x89PNG")
        assert 2_000 < len(file.data) < 60_000
    assert one.said() == ["picture_shown", "picture_shown"]


async def test_what_ends_before_it_has_a_picture_has_one(hang: Callable[..., Wall], slack: SlackPeer) -> None:
    one = hang()
    await one.tell(FIXED)
    assert shown(slack) == ["job:errors:ratio2m at the end"]


async def test_the_last_picture_waits_for_one_more_look_but_not_for_long(
    hang: Callable[..., Wall], slack: SlackPeer
) -> None:
    one = hang()
    await one.tell(STALE, 1)
    assert one.outbox.looks == [STALE.incident.id]
    assert not slack.files
    await one.later()
    assert shown(slack) == ["job:errors:ratio2m at the end"]
    assert one.outbox.looks == [STALE.incident.id]


class Killed(StoreError):
    """Stands for kill -9: what was about to be written is not."""


@pytest.mark.parametrize("moment", ["announce", "share", "told"])
async def test_a_killed_process_shows_nothing_twice(
    hang: Callable[..., Wall], slack: SlackPeer, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = hang()
    with monkeypatch.context() as patch:
        broken = SlackPictures if moment == "share" else MemoryOutbox
        real = getattr(broken, moment)

        async def die(self: Any, first: object, *rest: object) -> object:  # noqa: ANN401 - any of them
            if isinstance(first, OutboxItem) and first.destination == SLACK:
                return await real(self, first, *rest)
            raise Killed(moment)

        patch.setattr(broken, moment, die)
        await one.tell(FIXING)
    assert len(shown(slack)) == (moment == "told")
    await hang().later(120)
    assert shown(slack) == ["job:errors:ratio2m so far"]
    await hang().tell(FIXED)
    assert shown(slack) == ["job:errors:ratio2m so far", "job:errors:ratio2m at the end"]


async def test_an_answer_that_is_lost_shows_nothing_twice(hang: Callable[..., Wall], slack: SlackPeer) -> None:
    class Deaf(SlackPictures):
        async def share(self, notification: Notification, below: Receipt, picture: str) -> None:
            await super().share(notification, below, picture)
            raise DeliveryError("no answer", uncertain=True)

    one = hang()
    one.courier = Wall(one.outbox, one.clock, one.notifier, Deaf(one.pictures._client, png), one.facts).courier  # type: ignore[attr-defined] # the one behind the port
    await one.tell(FIXING, 120)
    assert shown(slack) == ["job:errors:ratio2m so far"]
    assert one.said() == ["picture_left"]  # Slack said that it has it already: it is left at that


async def test_without_the_right_to_upload_there_are_messages_and_nothing_else(
    hang: Callable[..., Wall], slack: SlackPeer
) -> None:
    slack.scopes.discard("files:write")
    one = hang()
    for account in (FIXING, FIXED):
        await one.tell(account)
    assert [one.error for one in slack.refused] == ["missing_scope"]
    assert one.said() == ["picture_left"]
    assert len([one for one in slack.messages if one.thread_ts in {None, one.ts}]) == 1
    assert not any(row.dead for row in one.outbox.rows.values())


class Stuck:
    """Pictures that are never done."""

    on = True

    async def prepare(self, notification: Notification) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    async def share(self, notification: Notification, below: Receipt, picture: str) -> None:
        raise AssertionError


async def test_no_message_waits_for_a_picture(hang: Callable[..., Wall], slack: SlackPeer) -> None:
    one = hang(Stuck())
    one.outbox.tell(FIXING, SLACK)
    other = replace(FIXING, incident=replace(FIXING.incident, id="other"))
    for account in (FIXING, other, FIXED):
        one.clock.advance(5)
        one.outbox.tell(account, SLACK)
        while any(row.behind() for (_, where), row in one.outbox.rows.items() if where == SLACK):
            one.outbox.noted.clear()
            if await one.courier.turn():
                async with asyncio.timeout(5):
                    await one.outbox.noted.wait()
            one.clock.advance(2)
            await asyncio.sleep(0)
    assert len([one for one in slack.messages if one.thread_ts in {None, one.ts}]) == 2
    assert not slack.files
    for lane in one.courier._lanes.values():
        if lane.task is not None:
            lane.task.cancel()
