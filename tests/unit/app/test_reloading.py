"""A reload that finds something wrong: said everywhere until it is mended, and no secret in what is said."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from responder.app import ServeOptions, read_settings
from responder.app.runtime import Runtime
from responder.telemetry import Metrics, Redactor, Telemetry
from tests.bed.playbooks import change_item
from tests.bed.stores import embedded

SECRET = "HUNTER2pass-abcdefgh"
SHOP = "connections: { http: { checkout: { url: 'http://127.0.0.1:1', allow: [ 'GET /*', 'PUT /admin/*' ] } } }\n"


@dataclass
class Site:
    """A runtime over a folder, and what it said of its reloads."""

    runtime: Runtime
    folder: Path
    sound: str
    facts: list[Mapping[str, object]] = field(default_factory=list)

    def configure(self, more: str = "") -> None:
        (self.folder / "responder.yml").write_text(f"{self.sound}{more}", encoding="utf-8")

    @property
    def rules(self) -> list[str]:
        return [one.rule for one in self.runtime.complaints if one.severity == "error"]


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    folder = tmp_path / "playbooks"
    folder.mkdir()
    (folder / "one.yaml").write_text(change_item("one"), encoding="utf-8")
    file = tmp_path / "responder.yml"
    sound = (
        f"store: {embedded(tmp_path / 'responder.db')}\nplaybooks: [ playbooks/ ]\npage: {{ console: true }}\n{SHOP}"
    )
    file.write_text(sound, encoding="utf-8")
    options = ServeOptions(file)
    settings = await asyncio.to_thread(read_settings, file, options.flags())
    made = Site(Runtime(options, settings, Telemetry(Metrics()), Redactor()), tmp_path, sound)

    def note(name: str, /, **fields: object) -> None:
        if name == "reload":
            made.facts.append(fields)

    monkeypatch.setattr(made.runtime.telemetry, "fact", note)
    await made.runtime.store.open()
    await made.runtime.adopt(settings)
    yield made
    await made.runtime.close_retired(float("inf"))
    await made.runtime.store.close()


@pytest.mark.parametrize("value", [f"&{SECRET}", f"{{{SECRET}", "98765432109876543"])
async def test_wrong_settings_stand_in_the_complaints_until_a_reload_succeeds(site: Site, value: str) -> None:
    assert site.rules == []
    site.configure(f"sources: {{ am: {{ authorization: {{ credentials: {value}")
    answer = await site.runtime.reload()
    assert f"{site.folder / 'responder.yml'}:5:" in answer
    assert site.rules
    assert all((one.line, one.file) == (5, str(site.folder / "responder.yml")) for one in site.runtime.complaints)
    for said in (answer, str(site.facts[-1]["error"]), repr(site.runtime.complaints)):
        assert SECRET not in said
        assert "98765432109876543" not in said
    site.configure()
    assert await site.runtime.reload() == ""
    assert site.rules == []


async def test_a_configuration_that_is_gone_stands_there_as_well(site: Site) -> None:
    (site.folder / "responder.yml").unlink()
    await site.runtime.reload()
    assert site.rules == ["reload"]


async def test_a_folder_of_playbooks_that_is_gone_leaves_them_at_work(site: Site) -> None:
    library = site.runtime.shelf.library
    assert list(library.playbooks) == ["one"], library.complaints
    shutil.move(site.folder / "playbooks", site.folder / "away")
    assert await site.runtime.reload() == ""  # as with a playbook that is wrong: it is said beside
    assert await site.runtime.reload() == ""
    assert list(site.runtime.shelf.library.playbooks) == ["one"]
    assert site.rules == ["missing-folder"]
    shutil.move(site.folder / "away", site.folder / "playbooks")
    assert await site.runtime.reload() == ""
    assert site.rules == []
    (site.folder / "playbooks" / "one.yaml").unlink()
    assert await site.runtime.reload() == ""
    assert list(site.runtime.shelf.library.playbooks) == []
