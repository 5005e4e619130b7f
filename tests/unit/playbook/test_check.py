"""``responder check``: formats, exit codes, and how little it takes."""

import io
import json
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from responder.cli.check import FINDINGS, OK, USAGE, run_check
from responder.domain.errors import Complaint
from responder.domain.modes import Mode
from responder.playbook.library import Library
from responder.playbook.names import Names
from tests.unit.playbook.fakes import CATALOGUE, MINIMAL

ROOT = Path(__file__).parents[3]
HEAVY = ("sqlalchemy", "aiosqlite", "aiohttp", "kubernetes_asyncio", "redis", "asyncpg", "slack_sdk", "alembic")
# Processor time of a whole process that checks 30 playbooks: the aim is 0.6 s, and slow machines get twice that.
CEILING_SECONDS = 1.2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(MINIMAL, encoding="utf-8")
    broken = MINIMAL.replace("scale-out", "other").replace("target:", "taregt:")
    (tmp_path / "bad, worse: 100%.yaml").write_text(f"{broken}mode: observe\n", encoding="utf-8")
    return tmp_path


def check(*paths: str, output: str = "text", names: Names | None = None, syntax_only: bool = False) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    code = run_check(
        [Path(path) for path in paths],
        output=output,
        syntax_only=syntax_only,
        catalogue=CATALOGUE,
        names=names,
        stdout=out,
        stderr=err,
    )
    return code, out.getvalue() + err.getvalue()


def test_text_shows_the_line_a_caret_and_the_hint(folder: Path) -> None:
    code, text = check(".")
    assert code == FINDINGS
    assert (
        'bad, worse: 100%.yaml:4:1: error: unknown key "taregt" [unknown-key]\n'
        "  4 | taregt: http/checkout\n"
        '    | ^^^^^^ did you mean "target"?\n'
    ) in text
    assert text.endswith("Checked 2 playbook(s): 1 error(s).\n")


def test_the_caret_stands_below_its_character_after_a_tab(folder: Path) -> None:
    (folder / "tab.yaml").write_text('name: "a"\nowner: "\tb"\nmatchers: [x="y"]\t\nnope: 1\n', encoding="utf-8")
    assert "  4 | nope: 1\n    | ^^^^" in check("tab.yaml")[1]


@pytest.mark.promise(19)
@pytest.mark.parametrize("broken", ["", "  {\n", "&\n"])
def test_nothing_of_a_configuration_that_was_taken_for_a_playbook_is_repeated(folder: Path, broken: str) -> None:
    text = f"connections: {{ http: {{ shop: {{ bearer: &HUNTER2secret }} }} }}\nsources: {{ am: {{}} }}\n{broken}"
    (folder / "settings.yaml").write_text(text, encoding="utf-8")
    code, said = check("settings.yaml")
    assert code == FINDINGS
    assert "settings.yaml:1:1: error: this is a configuration, and no playbook [not-a-playbook]" in said
    assert "HUNTER2" not in said


def test_good_playbooks_end_with_zero(folder: Path) -> None:
    assert check("good.yaml") == (OK, "Checked 1 playbook(s): 0 error(s).\n")


def test_warnings_end_with_zero_and_are_counted(folder: Path) -> None:
    (folder / "warn.yaml").write_text(MINIMAL.replace('="HighLoad"', '!="HighLoad"'), encoding="utf-8")
    code, text = check("warn.yaml")
    assert code == OK
    assert text.endswith("Checked 1 playbook(s): 0 error(s), 1 warning(s).\n")


def test_nothing_to_check_and_unknown_formats_are_usage_errors(folder: Path) -> None:
    assert check() == (USAGE, "responder check: name the playbooks or folders to check\n")
    assert check("none.yaml") == (USAGE, "responder check: no such file or folder: none.yaml\n")
    code, text = check("good.yaml", output="xml")
    assert code == USAGE
    assert "one of: text, json, github, sarif" in text


def test_a_path_without_any_playbook_is_a_usage_error_that_says_what_is_read(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "empty" / "x.test.yaml").write_text("tests: []")
    (folder / "notes.txt").write_text(MINIMAL)
    for paths in (["notes.txt"], ["empty"], ["good.yaml", "empty"], ["/etc/shadow"]):
        code, text = check(*paths)
        assert (code, text.count("\n")) == (USAGE, 1)
        assert f"there is no playbook in {paths[-1]}: files whose names end in .yaml or .yml are read" in text


def test_what_the_configuration_lacks_for_what_the_playbooks_may_do_is_a_finding(folder: Path) -> None:
    (folder / "tells.yaml").write_text('name: tells\nmatchers: [severity="info"]\nmode: auto\n')
    asked: list[Mapping[str, Mode]] = []

    def lacking(library: Library) -> Sequence[Complaint]:
        asked.append(library.modes)
        return [Complaint("responder.yml", 1, 1, "page: nobody is told", "page-missing")]

    out = io.StringIO()
    paths = [folder / "good.yaml", folder / "tells.yaml"]
    assert run_check(paths, catalogue=CATALOGUE, of_settings=lacking, stdout=out) == FINDINGS
    assert "responder.yml:1:1: error: page: nobody is told [page-missing]" in out.getvalue()
    assert [list(modes) for modes in asked] == [["scale-out"]], "one that only tells does not act"


def test_syntax_only_looks_nothing_up(folder: Path) -> None:
    assert check("good.yaml", names=Names(connections={"http": frozenset()}))[0] == FINDINGS
    assert check("good.yaml", names=Names(connections={"http": frozenset()}), syntax_only=True)[0] == OK


def test_json_holds_every_complaint(folder: Path) -> None:
    code, text = check(".", output="json")
    report = json.loads(text)
    assert (code, report["checked"], report["errors"]) == (FINDINGS, 2, 1)
    assert report["complaints"] == [
        {
            "file": "bad, worse: 100%.yaml",
            "line": 4,
            "column": 1,
            "width": 6,
            "severity": "error",
            "rule": "unknown-key",
            "message": 'unknown key "taregt"',
            "hint": 'did you mean "target"?',
        }
    ]


def test_github_commands_are_escaped(folder: Path) -> None:
    lines = check(".", output="github")[1].splitlines()
    assert lines[0] == (
        "::error file=bad%2C worse%3A 100%25.yaml,line=4,col=1,endColumn=7,title=unknown-key"
        '::unknown key "taregt" (did you mean "target"?)'
    )
    assert lines[-1] == "Checked 2 playbook(s): 1 error(s)."


def test_sarif_points_at_the_place(folder: Path) -> None:
    report: dict[str, Any] = json.loads(check(".", output="sarif")[1])
    assert report["version"] == "2.1.0"
    (run,) = report["runs"]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "bad%2C%20worse%3A%20100%25.yaml"
    assert place["region"] == {"startLine": 4, "startColumn": 1, "endColumn": 7}


def test_github_and_sarif_place_what_has_no_line(folder: Path) -> None:
    (folder / "gone.yaml").symlink_to(folder / "nowhere")
    assert "line=1,col=1" in check(".", output="github")[1]
    assert '"startLine": 1' in check(".", output="sarif")[1]
    assert "gone.yaml:0:0: error: this is not a regular file [unreadable]" in check(".")[1]


PROGRAM = """
import sys
from pathlib import Path
from responder.app import catalogue
from responder.cli.check import run_check
from responder.cli.schema import run_schema
code = run_check([Path(sys.argv[1])], catalogue=catalogue())
print(",".join(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
sys.exit(code)
"""


def run_program(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_check_loads_none_of_the_clients() -> None:
    done = run_program(ROOT / "playbooks")
    assert done.returncode == OK, done.stdout + done.stderr
    loaded = set(done.stderr.strip().split(","))
    assert "pydantic" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_checking_thirty_playbooks_takes_little_time(tmp_path: Path) -> None:
    text = (ROOT / "playbooks" / "add-workers-on-backlog.yaml").read_text(encoding="utf-8")
    for number in range(30):
        copy = text.replace("name: add-workers-on-backlog", f"name: copy-{number}")
        (tmp_path / f"{number}.yaml").write_text(copy, encoding="utf-8")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run_program(tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout == "Checked 30 playbook(s): 0 error(s).\n"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < CEILING_SECONDS
