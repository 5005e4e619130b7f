"""Mistakes in the files while it runs: refused with their place, and nothing else stops; mended ones are picked up."""

import asyncio
import json
import re
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from tests.bed import ledger
from tests.bed.alerts import alert, webhook
from tests.bed.playbooks import change_item
from tests.bed.postgres import Postgres
from tests.bed.target_process import TargetProcess, target_process
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.process_bed import Responder, config, responder

STORE = "sqlite:///responder.db"
WATCHED = timedelta(seconds=15)
"""How long a change of a file may take to be noticed without a signal: every 5 s the files are looked at."""
MATCHERS = "matchers:\n  - alertname"
ITEMS = 12


def _setting(name: str, wanted: int) -> str:
    return change_item(name, retries=0, sets=wanted, wanted=wanted, within="5s")


EDITED = _setting("edited", 7)
MISTAKES = {
    "misspelt-key": (EDITED.replace("summary:", "sumary:"), 3, "did you mean"),
    "empty-matchers": (EDITED.replace('matchers:\n  - alertname="edited"', "matchers: []"), 5, "matchers"),
    "unknown-action": (EDITED.replace("http.request:", "http.reqest:"), 12, "http.reqest"),
    "open-template": (EDITED.replace("target: http/checkout/{{ labels.item }}", "target: http/{{ labels.item"), 7, ""),
    "not-yaml": (EDITED.replace("mode: auto", "mode: [auto"), 0, ""),
}
"""What goes wrong, the line at which it is to be found (0: any), and a word of the complaint."""


@pytest.fixture
def shop() -> Iterator[TargetProcess]:
    with target_process() as running:
        for item in range(ITEMS):
            running._send("PUT", f"/admin/item-{item}", {"workers": 2})
        yield running


class Site:
    """A responder with two playbooks, one of which is edited, and fresh items to fire for."""

    def __init__(self, running: Responder, shop: TargetProcess) -> None:
        self.running = running
        self.shop = shop
        self._items = iter(range(ITEMS))

    @property
    def file(self) -> str:
        return str(self.running.directory / "playbooks" / "edited.yaml")

    def edit(self, text: str) -> None:
        (self.running.directory / "playbooks" / "edited.yaml").write_text(text, encoding="utf-8")

    def configure(self, text: str) -> None:
        (self.running.directory / "responder.yml").write_text(text, encoding="utf-8")

    async def reload(self) -> tuple[int, str]:
        return await asyncio.to_thread(self.running.call, "POST", "/-/reload")

    def complaints(self) -> list[JsonObject]:
        found: list[JsonObject] = self.running.get("status")["playbooks"]["complaints"]
        return found

    def metric(self, name: str) -> dict[str, float]:
        """Return the samples of a metric, by what stands between its braces."""
        text = self.running.call("GET", "/metrics")[1]
        found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
        return {labels: float(value) for labels, value in found}

    def log(self) -> list[JsonObject]:
        assert self.running.child is not None
        lines = self.running.child.log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"')]

    async def acts(self, playbook: str, wanted: int) -> None:
        """Fire an alert for a fresh item and see it changed, once, to ``wanted``."""
        item = f"item-{next(self._items)}"
        body = webhook([alert({"alertname": playbook, "item": item})], group_by=["item"])
        await asyncio.to_thread(self.running.deliver, body)

        async def verified() -> bool:
            rows = await asyncio.to_thread(self.running.items, "runs?state=verified")
            return any(row["target"] == f"http/checkout/{item}" for row in rows)

        await eventually(verified)
        changes = [one.after for one in ledger.effects(self.shop.entries(), item)][1:]
        assert changes == [{"workers": wanted}]


@pytest.fixture
def site(shop: TargetProcess) -> Iterator[Site]:
    playbooks = {"edited.yaml": EDITED, "other.yaml": _setting("other", 5)}
    with responder(playbooks, config(STORE, shop.url, routes=[])) as running:
        running.start()
        yield Site(running, shop)


async def test_a_mistake_in_a_playbook_is_shown_with_its_line_and_stops_nothing(site: Site) -> None:
    for mistake in MISTAKES:
        await _mistaken(site, mistake)
        site.edit(EDITED)
        assert await site.reload() == (200, "reloaded\n")
        assert site.complaints() == []
        assert site.metric("responder_playbook_load_errors") == {}


async def _mistaken(site: Site, mistake: str) -> None:
    text, line, word = MISTAKES[mistake]
    assert text != EDITED
    site.edit(text)
    await site.reload()
    complaint = next(one for one in site.complaints() if one["file"] == site.file)
    assert complaint["severity"] == "error"
    assert line in (0, complaint["line"])
    assert word in f"{complaint['message']} {complaint['hint']}"
    place = f"{site.file}:{complaint['line']}:"
    assert any(one["event"] == "complaint" and place in one["text"] for one in site.log()), mistake
    errors = site.metric("responder_playbook_load_errors")
    assert {labels: value > 0 for labels, value in errors.items()} == {f'file="{site.file}"': True}
    await site.acts("other", 5)
    await site.acts("edited", 7)  # its last good version


async def test_the_last_good_version_outlives_a_restart_and_the_mended_file_takes_its_place(site: Site) -> None:
    await site.acts("edited", 7)
    site.edit(MISTAKES["misspelt-key"][0])
    await asyncio.to_thread(site.running.stop)
    await asyncio.to_thread(site.running.start)
    assert [one["file"] for one in site.complaints()] == [site.file]
    stale = {one["name"]: one["stale"] for one in site.running.items("playbooks")}
    assert stale == {"edited": True, "other": False}
    await site.acts("edited", 7)
    await site.acts("other", 5)
    site.edit(_setting("edited", 9))
    assert await site.reload() == (200, "reloaded\n")
    assert site.complaints() == []
    assert site.metric("responder_playbook_load_errors") == {}
    await site.acts("edited", 9)


@pytest.mark.promise(9)
async def test_a_label_that_an_alert_lacks_means_no_effect_and_is_said(site: Site) -> None:
    seeded = len(site.shop.entries())
    body = webhook([alert({"alertname": "edited"})])
    await asyncio.to_thread(site.running.deliver, body)

    async def decided() -> list[JsonObject]:
        return await asyncio.to_thread(site.running.items, "decisions?playbook=edited")

    (decision,) = await eventually(decided)
    assert decision["run"] in (None, "")
    assert "item" in decision["reason"]
    assert await asyncio.to_thread(site.running.items, "runs") == []
    assert len(site.shop.entries()) == seeded
    await site.acts("edited", 7)


BROKEN_SETTINGS: dict[str, Callable[[str], str]] = {
    "misspelt-key": lambda text: text.replace('"playbooks":', '"playbook":'),
    "unknown-reference": lambda text: text.replace('"kind": "alertmanager"', '"kind": "alertmanger"'),
    "not-yaml": lambda text: text[: len(text) // 2],
}


async def test_a_bad_configuration_is_refused_and_the_last_good_one_stays(site: Site) -> None:
    for tried, breaks in enumerate(BROKEN_SETTINGS.values(), 1):
        await _misconfigured(site, breaks)
        refused = [one for one in site.log() if one["event"] == "reload" and not one["ok"]]
        assert len(refused) == tried
        assert "responder.yml:" in refused[-1]["error"]


async def _misconfigured(site: Site, breaks: Callable[[str], str]) -> None:
    good = (site.running.directory / "responder.yml").read_text(encoding="utf-8")
    assert site.metric("responder_config_last_reload_successful") == {"": 1.0}
    site.configure(breaks(good))
    status, text = await site.reload()
    assert status == 500
    assert re.search(r"responder\.yml:\d+:\d+: error: ", text), text
    assert site.metric("responder_config_last_reload_successful") == {"": 0.0}
    await site.acts("edited", 7)
    await site.acts("other", 5)
    site.configure(good)
    assert await site.reload() == (200, "reloaded\n")
    assert site.metric("responder_config_last_reload_successful") == {"": 1.0}
    await site.acts("other", 5)


async def _until_used(site: Site, revision_before: str) -> None:
    async def swapped() -> bool:
        rows = await asyncio.to_thread(site.running.items, "playbooks")
        return any(row["name"] == "edited" and row["revision"] != revision_before for row in rows)

    await eventually(swapped, WATCHED)


def _revision(site: Site) -> str:
    return str(next(row["revision"] for row in site.running.items("playbooks") if row["name"] == "edited"))


@pytest.mark.parametrize("how", ["signal", "nothing"])
async def test_an_edit_is_picked_up_on_sighup_and_by_itself(site: Site, how: str) -> None:
    assert site.running.child is not None
    before = _revision(site)
    site.edit(_setting("edited", 9))
    if how == "signal":
        site.running.child.process.send_signal(signal.SIGHUP)
    await _until_used(site, before)
    await site.acts("edited", 9)
    await site.acts("other", 5)


async def test_a_configmap_that_is_swapped_under_its_links_is_picked_up(site: Site) -> None:
    """Kubernetes writes a new folder and turns ``..data`` to it; the names in the mount stay the same links."""
    mount = site.running.directory / "playbooks"
    for number, text in enumerate((EDITED, _setting("edited", 9))):
        version = mount / f"..version-{number}"
        version.mkdir()
        (version / "edited.yaml").write_text(text, encoding="utf-8")
    (mount / "..data").symlink_to("..version-0")
    (mount / "edited.yaml").unlink()
    (mount / "edited.yaml").symlink_to("..data/edited.yaml")
    assert (await site.reload())[0] == 200
    assert site.complaints() == []
    before = _revision(site)
    (mount / "..data_tmp").symlink_to("..version-1")
    (mount / "..data_tmp").replace(mount / "..data")
    await _until_used(site, before)
    await site.acts("edited", 9)


async def test_a_reload_does_not_cut_off_what_is_under_way(site: Site) -> None:
    site.shop.settings(latency_ms=1000)
    acting = asyncio.create_task(site.acts("edited", 7))

    async def sending() -> bool:
        return bool(await asyncio.to_thread(site.running.items, "records?state=intended"))

    await eventually(sending)
    assert (await site.reload())[0] == 200
    await acting
    doubts = {"effect_uncertain", "read_back_failed", "turn_crashed", "turn_failed"}
    assert not [one for one in site.log() if one["event"] in doubts]


async def test_an_edit_made_while_the_store_is_away_is_picked_up_when_it_is_back(
    durable_postgres: Postgres, durable_postgres_url: str, shop: TargetProcess
) -> None:
    assert durable_postgres.server is not None
    playbooks = {"edited.yaml": EDITED, "other.yaml": _setting("other", 5)}
    with responder(playbooks, config(durable_postgres_url, shop.url, routes=[])) as running:
        await asyncio.to_thread(running.start)
        site = Site(running, shop)
        before = _revision(site)
        durable_postgres.server.stop()
        site.edit(_setting("edited", 9))
        await eventually(lambda: any(one["event"] == "reload" and not one["ok"] for one in site.log()), WATCHED)
        assert (await site.reload())[0] == 500
        durable_postgres.server.start()
        await _until_used(site, before)
        await site.acts("edited", 9)
        await site.acts("other", 5)
        assert site.metric("responder_config_last_reload_successful") == {"": 1.0}


async def test_what_matched_nothing_is_looked_at_again_when_a_playbook_comes(site: Site) -> None:
    item = f"item-{next(site._items)}"
    body = webhook([alert({"alertname": "later", "item": item})], group_by=["item"])
    await asyncio.to_thread(site.running.deliver, body)
    await eventually(lambda: any(row["verdict"] == "no_match" for row in site.running.items("decisions")))
    (site.running.directory / "playbooks" / "later.yaml").write_text(_setting("later", 9), encoding="utf-8")
    await site.reload()
    await eventually(lambda: any(row["target"].endswith(item) for row in site.running.items("runs?state=verified")))


async def test_a_playbook_does_not_wait_for_settings_that_are_wrong(site: Site) -> None:
    good = (site.running.directory / "responder.yml").read_text(encoding="utf-8")
    site.configure(good.replace('"routes"', '"rutes"'))
    (site.running.directory / "playbooks" / "new.yaml").write_text(_setting("new", 8), encoding="utf-8")
    status, text = await site.reload()
    assert status >= 400
    assert "rutes" in text
    await site.acts("new", 8)
