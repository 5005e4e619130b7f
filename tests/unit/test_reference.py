"""The documentation: what is made from the code is as the code is, nothing public is left out, no link is broken."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from responder.app import catalogue
from responder.domain.records import RECORD_TRANSITIONS, RecordState
from responder.domain.runs import OUTCOMES, TRANSITIONS, RunState
from responder.domain.verdicts import Verdict
from responder.playbook.shape import Shape
from responder.settings import Settings
from responder.settings.load import KEYS
from responder.telemetry import FACTS, Metrics
from scripts.reference.configuration import HTTP, is_container, meaning, settings_keys
from scripts.reference.configuration_words import SECTIONS, WORDS
from scripts.reference.domain import error_classes, verdict_groups
from scripts.reference.http_api import operations
from scripts.reference.markdown import anchor, cell
from scripts.reference.outside import commands, exit_codes, fact_groups
from scripts.reference.pages import ROOT, make_pages
from scripts.reference.playbook import SECTIONS as PLAYBOOK_SECTIONS

PAGES = make_pages()
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^(`{3,}).*?^\1`*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
CODE_BLOCK = re.compile(r"^(`{3,}).*?^\1`*$", re.MULTILINE | re.DOTALL)


def reference(name: str) -> str:
    return PAGES[f"docs/reference/{name}.md"]


def undocumented(words: Iterable[str], page: str) -> list[str]:
    """Return the words that do not stand in the page as code."""
    return [word for word in words if f"`{word}`" not in reference(page)]


@pytest.mark.parametrize("path", PAGES)
def test_a_committed_page_is_what_the_code_says(path: str) -> None:
    file = ROOT / path
    committed = file.read_text(encoding="utf-8") if file.exists() else ""
    assert committed == PAGES[path], f"{path} is stale: run `make docs`"


def test_no_page_is_left_over() -> None:
    there = {str(file.relative_to(ROOT)) for file in (DOCS / "reference").rglob("*") if file.is_file()}
    assert there <= set(PAGES), "a page is no longer made: run `make docs`"


def test_the_next_candidate_follows_where_decision_5_says() -> None:
    rows = [line for line in reference("runs").splitlines() if re.match(r"\| `\w+` \| (yes)? \| (yes)? \|", line)]
    assert len(rows) == len(RunState)
    follows = {line.split("`")[1] for line in rows if line.split("|")[4].strip()}
    assert follows == {"rolled_back", "failed", "skipped", "observed"}


def test_what_answers_that_it_is_reserved_says_so() -> None:
    (row,) = [line for line in reference("http-api").splitlines() if line.startswith("| `GET /api/v1/report`")]
    assert "Reserved for later: answers 400." in row


def test_every_verdict_has_its_sentence() -> None:
    rows = [line for line in reference("verdicts").splitlines() if line.startswith("| `")]
    for verdict in Verdict:
        expected = f"| `{verdict}` | {cell(verdict.sentence)} | {'yes' if verdict.later else 'no'} |"
        assert rows.count(expected) == 1, verdict
    assert len(rows) == len(Verdict)


def test_verdicts_stand_with_their_kind() -> None:
    kinds = {title: {verdict.later for verdict in members} for title, members in verdict_groups()}
    assert kinds["Refusals that are looked at again"] == {True}
    assert kinds["Refusals that are final for the episode"] == {False}


def test_every_state_and_outcome_of_a_run_is_documented() -> None:
    assert undocumented((*RunState, *OUTCOMES, *RecordState), "runs") == []


def test_every_transition_stands_in_table_and_diagram() -> None:
    page = reference("runs")
    arrows = re.findall(r"^    (\w+) --> (\w+): (.+)$", page, re.MULTILINE)
    drawn = {(state, one): following for state, following, outcomes in arrows for one in outcomes.split(", ")}
    assert {key: following for key, following in drawn.items() if key[1] != "resumed"} == {
        (str(state), outcome): str(following) for (state, outcome), following in TRANSITIONS.items()
    }
    for (state, outcome), following in TRANSITIONS.items():
        assert f"| `{state}` | `{outcome}` | `{following}` |" in page
    for before, all_after in RECORD_TRANSITIONS.items():
        assert [after for after in all_after if f"    {before} --> {after}\n" not in page] == []


def test_every_action_and_probe_is_documented_with_its_inputs_and_example() -> None:
    known = catalogue()
    for page, kinds in (("actions", known.actions), ("probes", known.probes)):
        sections = dict(re.findall(r"^## (\S+)$(.*?)(?=^## |\Z)", reference(page), re.MULTILINE | re.DOTALL))
        for name, kind in kinds.items():
            inputs = [field.alias or key for key, field in kind.model_fields.items()]
            assert [one for one in inputs if f"| `{one}` |" not in sections[name]] == [], name
            assert kind.example.strip() in sections[name]


def test_every_input_of_an_action_and_probe_says_what_it_is() -> None:
    known = catalogue()
    silent = [
        f"{name}: {key}"
        for name, kind in (*known.actions.items(), *known.probes.items())
        for key, field in kind.model_fields.items()
        if not field.description
    ]
    assert silent == []


def test_every_key_of_a_playbook_is_documented_and_says_what_it_is() -> None:
    shapes = {shape for shape, _, _ in PLAYBOOK_SECTIONS}
    assert shapes == set(Shape.__subclasses__())
    for shape in shapes:
        keys = {field.alias or name: field.description for name, field in shape.model_fields.items()}
        assert all(keys.values()), shape
        assert undocumented(keys, "playbook") == []
    assert not re.search(r"\| +\|$", reference("playbook"), re.MULTILINE)


def test_every_key_of_the_configuration_is_known_and_described() -> None:
    known = settings_keys()
    assert set(SECTIONS) == set(KEYS)
    silent = [path for path, entry in known.items() if not is_container(path, entry) and not meaning(path)]
    assert silent == [], "describe them in scripts/reference/configuration_words.py"
    assert set(WORDS) <= set(known), "described, but no such key"
    assert [path for path, entry in known.items() if not (entry.kinds or entry.choices)] == [
        "time_intervals.[].time_intervals",  # handed to the language as it is
    ]


def test_the_configuration_page_shows_the_defaults_in_force() -> None:
    page, usual = reference("configuration"), Settings()
    assert f"(text, default `{usual.team_label}`)" in page
    assert "| `page.after` | duration | `5m` |" in page
    assert f"| `severity.label` | text | `{usual.severity.label}` |" in page
    assert f"## {HTTP}\n" in page


def test_every_metric_is_documented() -> None:
    scraped = {
        f"{family.name}{'_total' if family.type == 'counter' else ''}" for family in Metrics().registry.collect()
    }
    own = {name for name in scraped if name.startswith("responder_")}
    assert len(own) > 10
    assert undocumented(own, "metrics") == []


def test_every_fact_is_documented() -> None:
    assert [name for _, names in fact_groups() for name in names] == list(FACTS)
    assert undocumented(FACTS, "metrics") == []


def test_every_error_stands_in_the_tree_and_in_the_table() -> None:
    page = reference("errors")
    tree = page[page.index("```") : page.rindex("```")]
    for kind in error_classes():
        assert re.search(rf"\b{kind.__name__}\b", tree), kind
        assert f"| `{kind.__name__}` |" in page


def test_every_command_and_exit_code_is_documented() -> None:
    page = reference("command-line")
    for name in commands():
        assert f"\n## responder {name}\n" in page
        assert f"Usage: responder {name}" in page
    assert len(exit_codes()) == 5


def test_every_operation_of_the_api_is_documented() -> None:
    found = [request for request, _ in operations()]
    assert undocumented(found, "http-api") == []
    assert undocumented(("POST /webhook/{source}", "GET /metrics", "GET /-/ready"), "http-api") == []


def anchors(file: Path) -> set[str]:
    text = CODE_BLOCK.sub("", file.read_text(encoding="utf-8"))
    return {anchor(heading) for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)}


def broken_links(file: Path) -> list[str]:
    """Return the relative links of a page that lead nowhere, anchors included."""
    broken = []
    for link in LINK.findall(CODE.sub("", file.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, heading = link.partition("#")
        target = file.parent / path if path else file
        if not target.exists() or (heading and heading not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize(
    "file", [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"], ids=lambda file: str(file.relative_to(ROOT))
)
def test_no_relative_link_is_broken(file: Path) -> None:
    assert broken_links(file) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A title\n[good](#a-title) `[code](nowhere)` [bad](#another) [worse](none.md)\n", encoding="utf-8"
    )
    assert broken_links(page) == ["#another", "none.md"]


def test_the_index_leads_to_every_page() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    missing = [str(file.relative_to(DOCS)) for file in DOCS.rglob("*.md") if f"({file.relative_to(DOCS)})" not in index]
    assert missing == ["index.md"], "run `make docs`"


def test_the_architecture_page_names_every_layer() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    parts = {file.stem for file in (ROOT / "responder").iterdir() if file.suffix == ".py" or file.is_dir()}
    assert [name for name in sorted(parts - {"__init__", "__pycache__"}) if f"`{name}`" not in page] == []
