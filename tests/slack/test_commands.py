"""``/responder``: the rules of the command line, over both ways."""

import json
from pathlib import Path

import pytest

from tests.bed.slack_clicks import ClickingSlack
from tests.bed.target_peer import Target
from tests.slack.conftest import office, playbook_text


@pytest.mark.parametrize("way", ["https", "socket"])
async def test_commands_do_what_the_command_line_does(
    tmp_path: Path, clicking: ClickingSlack, target: Target, way: str
) -> None:
    async with office(tmp_path, clicking, target, playbook_text(mode="approve"), way=way) as one:

        async def say(text: str, user: str = "U0ANA") -> str:
            heard = await one.deliver(clicking.typing(text, user))
            assert heard.status == 200, heard
            assert json.loads(heard.body)["response_type"] == "ephemeral"
            return heard.text

        assert "Nothing is paused" in await say("status", "U0GUEST")
        assert "does not know who you are" in await say("status", "U0WHO")
        assert "this takes operator" in await say("pause", "U0GUEST")
        assert "this takes operator" in await say("pause all", "U0PAY"), "of one team only"
        assert "Paused team:payments" in await say("pause team:payments for 30m", "U0PAY")
        assert "scope is 'playbok:x'" in await say("pause playbok:x")
        paused = await say("pause for 10m deploying")
        assert "Paused all until 20" in paused
        assert "pause of all by ana" in await say("status")
        assert "deploying" in await say("status")
        assert "this takes operator" in await say("resume all", "U0GUEST")
        lifted = await say(f"resume {paused.rsplit(' ', 1)[-1]}")
        assert "Lifted 1" in lifted
        assert "Still in force: pause of team:payments" in lifted
        assert "Lifted 1" in await say("resume team:payments", "U0PAY")
        assert "There is no 'dance'" in await say("dance")
        assert "no run and no alert" in await say("explain 0123456789abcdef")

        await one.fire()
        run = await one.run("awaiting_approval")
        (episode,) = (await one.runtime.store.page("episodes", {}, 1, "")).items
        for known in (str(run["id"]), str(run["id"])[-6:], str(episode["fingerprint"])):
            story = await say(f"explain {known}", "U0GUEST")
            assert "Waits for approval" in story
            assert f"run {run['id']} asks for approval" in story
        assert [what for who, _, what in await one.audit("button.pressed") if who == "pia"] == [
            "/responder pause all", "/responder pause team:payments for 30m", "/responder resume team:payments",
        ]  # fmt: skip
