"""A chart that was found is a picture in the thread, through everything as it is composed; a click is not held up."""

import time
from pathlib import Path
from typing import Any

from responder.domain.findings import Finding
from tests.bed.slack_clicks import ClickingSlack
from tests.bed.target_peer import Target
from tests.bed.waiting import eventually
from tests.slack.conftest import PATIENT, office, playbook_text


async def test_a_chart_that_is_found_stands_in_the_thread_without_the_secret_in_its_title(
    tmp_path: Path, clicking: ClickingSlack, target: Target
) -> None:
    clicking.scopes.add("files:write")
    async with office(tmp_path, clicking, target, playbook_text(mode="approve")) as one:
        await one.fire()
        message = await one.button("Approve")
        (row,) = (await one.runtime.store.page("incidents", {}, 10, "")).items
        points = [[round(time.time()) - 3600 + 30 * step, step / 120] for step in range(120)]
        data: Any = {"points": points, "threshold": 0.5, "percent": True, "expression": 'load{key="planted-token"}'}
        await one.runtime.store.found(
            str(row["id"]), [Finding("chart:expression", one.runtime.store.now(), "▁█", data=data)]
        )

        def shown() -> str:
            return next((file.title for file in clicking.files.values() if file.message is not None), "")

        title = await eventually(shown, PATIENT)
        (file,) = clicking.files.values()
        assert file.message is not None
        assert file.message.thread_ts == message.ts
        assert file.data.startswith(b"\x89PNG")
        assert title.startswith("load{key=")
        assert "planted-token" not in title + file.words
        (outbox,) = [
            each for each in (await one.runtime.store.page("outbox", {}, 10, "")).items
            if str(each["destination"]).startswith("slack_picture:")
        ]  # fmt: skip
        assert outbox["state"] == "told"
