"""Socket Mode: connected without a public URL, before Slack closes the last connection, by each replica."""

import asyncio
import json
from pathlib import Path

from tests.bed.slack_clicks import ClickingSlack
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually
from tests.slack.conftest import office, playbook_text

ASKS = playbook_text(mode="approve")


async def test_the_next_connection_is_there_before_the_last_one_is_closed(
    tmp_path: Path, clicking: ClickingSlack, target: Target
) -> None:
    async with office(tmp_path, clicking, target, ASKS, way="socket") as one:
        await one.fire()
        message = await one.button("Approve")
        await clicking.refresh()
        await eventually(lambda: len(clicking.links) == 2)
        heard = await clicking.through_socket(clicking.typing("status"), on=0)
        assert (heard.status, "waits for approval" in heard.text) == (200, True), "through the old one, too"
        await clicking.links[0].socket.close()
        await eventually(lambda: len(clicking.links) == 1)
        assert "You approved" in await one.press(message, "Approve")


async def test_a_connection_that_breaks_is_opened_again(
    tmp_path: Path, clicking: ClickingSlack, target: Target
) -> None:
    async with office(tmp_path, clicking, target, ASKS, way="socket") as one:
        await clicking.links[0].socket.close()
        await eventually(lambda: clicking.opened == 2)
        await eventually(lambda: len(clicking.links) == 1)
        assert (await clicking.through_socket(one.slack.typing("status"))).status == 200
        assert [fields["connected"] for name, fields in one.facts if name == "slack_socket"] == [1, 0, 1]


async def test_each_replica_holds_a_connection_and_a_click_reaches_one_of_them(
    tmp_path: Path, clicking: ClickingSlack, target: Target, postgres_url: str
) -> None:
    async with office(tmp_path / "one", clicking, target, ASKS, store=postgres_url, way="socket") as one:
        async with office(tmp_path / "two", clicking, target, ASKS, store=postgres_url, way="socket"):
            assert len(clicking.links) == 2
            await one.fire()
            message = await one.button("Approve")
            both = await asyncio.gather(*(one.press(message, "Approve", user) for user in ("U0ANA", "U0BEN")))
            assert [link.sent for link in clicking.links] == [1, 1]
            assert sorted("You approved" in said for said in both) == [False, True], both
            await one.run("verified")
            assert one.workers == [6]
        await eventually(lambda: len(clicking.links) == 1)
        assert (await clicking.through_socket(one.slack.typing("status"))).status == 200


async def test_what_makes_no_sense_is_acknowledged_and_does_no_harm(
    tmp_path: Path, clicking: ClickingSlack, target: Target
) -> None:
    async with office(tmp_path, clicking, target, ASKS, way="socket") as one:
        await clicking.links[0].socket.send_str("no JSON")
        await clicking.links[0].socket.send_bytes(b"\x00")
        nonsense = {"type": "block_actions", "actions": [{"action_id": "responder_stop:0", "value": "{}"}]}
        for payload in (nonsense, {"actions": [], "type": "view_submission"}, {"actions": 7}):
            assert (await clicking.through_socket(payload)).status == 200
        assert (await clicking.through_socket(one.slack.typing("status"))).status == 200
        assert clicking.opened == 1


async def test_a_reload_connects_and_disconnects(tmp_path: Path, clicking: ClickingSlack, target: Target) -> None:
    async with office(tmp_path, clicking, target, ASKS, way="socket") as one:
        file = tmp_path / "responder.yml"
        with_socket = file.read_text(encoding="utf-8")
        settings = json.loads(with_socket)
        del settings["notify"]["slack"]["app_token"]
        file.write_text(json.dumps(settings), encoding="utf-8")
        assert await one.runtime.reload() == ""
        await eventually(lambda: not clicking.links)
        file.write_text(with_socket, encoding="utf-8")
        assert await one.runtime.reload() == ""
        await eventually(lambda: len(clicking.links) == 1)
        assert (await clicking.through_socket(clicking.typing("status"))).status == 200
