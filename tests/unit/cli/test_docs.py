"""What the documentation shows is true: its playbooks load, its configurations are read, its commands exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from responder.app import catalogue, names_of
from responder.cli.app import app
from responder.playbook.library import load_library
from responder.playbook.schema import examine
from responder.settings import cross_check, load_settings, unread_secret
from tests.bed.playbooks import change_item

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|[`$(;&] ?)responder ((?:[a-z]+)(?: [^`\n;)#]*)?)", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def blocks(language: str) -> Iterator[object]:
    """Return every block in a language, named by its page and line."""
    for page in PAGES:
        text = page.read_text()
        for found in BLOCK.finditer(text):
            if found[1] == language:
                line = text.count("\n", 0, found.start()) + 2
                yield pytest.param(found[2], id=f"{page.relative_to(ROOT)}:{line}")


YAML = list(blocks("yaml"))
CONFIGURATIONS = [text for page in PAGES for _, text in BLOCK.findall(page.read_text()) if "\nsources:" in text]


@pytest.mark.parametrize("text", YAML)
def test_each_yaml_block_is_a_faultless_playbook_or_configuration(text: str, tmp_path: Path) -> None:
    if "schema: 1" in text:
        _, complaints = examine(text, "playbook.yaml", catalogue(), None)
        assert [str(complaint) for complaint in complaints] == []
        return
    file = tmp_path / "responder.yml"
    file.write_text(text)
    settings = load_settings(file, {}, read_secret=unread_secret)
    assert settings.sources


@pytest.mark.parametrize("text", list(blocks("yml")))
def test_each_fragment_fits_where_it_belongs(text: str, tmp_path: Path) -> None:
    if text.startswith("limits:"):
        whole = change_item("fragment").replace("limits:\n  mass_failure: off\n", text)
        _, complaints = examine(whole, "playbook.yaml", catalogue(), None)
        assert [str(complaint) for complaint in complaints] == []
        return
    file = tmp_path / "responder.yml"
    file.write_text(next(whole for whole in CONFIGURATIONS if "policies:" not in whole) + text)
    assert load_settings(file, {}, read_secret=unread_secret).policies


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/connect-alertmanager.md"])
def test_a_whole_configuration_fits_the_playbook_that_is_copied_into_its_folder(page: str, tmp_path: Path) -> None:
    found = BLOCK.findall((ROOT / page).read_text())
    shell = "".join(text for language, text in found if language == "sh")
    assert "> alertmanager.token" in shell
    assert "> oncall.token" in shell
    copied = re.findall(r"cp (playbooks/\S+) my-playbooks/", shell)
    (text,) = (text for language, text in found if language == "yaml" and "sources:" in text)
    (tmp_path / "responder.yml").write_text(text)
    settings = load_settings(tmp_path / "responder.yml", {}, read_secret=unread_secret)
    assert settings.playbooks == (tmp_path / "my-playbooks",)
    library = load_library([ROOT / file for file in copied], catalogue(), names_of(settings), {})
    assert (len(library.playbooks), dict(library.complaints)) == (1, {})
    assert list(cross_check(settings, {name: one.mode for name, one in library.playbooks.items()})) == []


def test_the_playbooks_that_ship_begin_by_observing() -> None:
    library = load_library([ROOT / "playbooks"], catalogue(), None, {})
    assert {one.mode.value for one in library.playbooks.values()} == {"observe"}


def test_there_is_something_to_check() -> None:
    assert len(YAML) >= 6


def test_the_readmes_playbook_has_as_few_lines_as_it_says() -> None:
    playbook = next(text for _, text in BLOCK.findall((ROOT / "README.md").read_text()) if "schema: 1" in text)
    assert len([line for line in playbook.splitlines() if line.strip()]) == 18


def commands() -> set[str]:
    """Return the commands that exist."""
    group = typer.main.get_command(app)
    return set(getattr(group, "commands", {}))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_command_in_a_shell_block_exists(page: Path) -> None:
    used = {
        words.split()[0]
        for language, text in BLOCK.findall(page.read_text())
        if language == "sh"
        for words in COMMAND.findall(text)
    }
    assert used - commands() == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_reads_the_audit_log_with_a_command_that_only_verifies_it(page: Path) -> None:
    assert not re.findall(r"responder audit(?! verify)", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []
