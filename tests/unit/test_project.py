"""The project's own files: what is pinned, which lint rules are off, what `make` offers, how imports run."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def pins(lock: Path) -> dict[str, str]:
    """Return each pinned package of a lock file with its version and marker."""
    return dict(
        re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(.*?) *\\$", lock.read_text(encoding="utf-8"), re.MULTILINE)
    )


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.name))
def test_a_lock_file_holds_names_versions_and_hashes_but_no_address(lock: Path) -> None:
    requirement = re.compile(r"^[A-Za-z0-9._-]+(\[[a-z0-9,_-]+\])?==[A-Za-z0-9.+!]+( ; [^/:@]+)? \\$")
    digest = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
    lines = lock.read_text(encoding="utf-8").splitlines()
    strange = [line for line in lines if not requirement.match(line) and not digest.match(line)]
    assert strange == []
    assert pins(lock)


def test_a_package_has_one_version_in_all_lock_files() -> None:
    everything = pins(ROOT / "requirements" / "dev.txt")
    for name in ("base", "image", "test"):
        smaller = pins(ROOT / "requirements" / f"{name}.txt")
        assert smaller.items() <= everything.items(), name


def test_every_declared_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = project["project"]["dependencies"]
    names = {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in declared}
    assert names <= {name.lower() for name in pins(ROOT / "requirements" / "base.txt")}


def test_the_image_installs_the_extras_that_it_is_said_to_have() -> None:
    [lock] = re.findall(r"/opt/responder/bin/pip install --require-hashes .*-r (\S+)", DOCKERFILE)
    assert set(re.findall(r"^COPY (requirements/.*) requirements/$", DOCKERFILE, re.MULTILINE)[0].split()) >= {lock}
    pinned = pins(ROOT / lock)
    assert pins(ROOT / "requirements" / "base.txt").items() < pinned.items()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    has = {
        name
        for name, needs in extras.items()
        if {re.split(r"[^A-Za-z0-9._-]", one)[0] for one in needs} <= pinned.keys()
    }
    assert has == {"ssh", "pictures"}
    assert re.search(r"^ENV .*LOGNAME=", DOCKERFILE, re.MULTILINE), "without a name of its user, asyncssh gives up"


def ignored_rules() -> list[str]:
    """Return the lines of pyproject.toml that turn a lint rule off."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    sections = re.findall(
        r"^\[tool\.ruff\.lint(?:\.per-file-ignores)?\]$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL
    )
    return [line for section in sections for line in section.splitlines() if re.match(r'\s*"[A-Z]+[0-9]*"', line)]


def test_every_lint_rule_that_is_off_says_why() -> None:
    rules = ignored_rules()
    assert len(rules) > 10
    assert [rule for rule in rules if not re.search(r"# \S+ \S+", rule)] == []


def test_every_lint_rule_that_is_off_has_a_line_of_its_own() -> None:
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    off = [*ruff["ignore"], *(rule for rules in ruff["per-file-ignores"].values() for rule in rules)]
    assert len(ignored_rules()) == len(off)


def test_make_help_names_every_target() -> None:
    make = shutil.which("make")
    assert make
    shown = subprocess.run([make, "-C", str(ROOT), "help"], check=True, capture_output=True, text=True).stdout
    listed = set(re.findall(r"^  make ([a-z-]+) +\S", shown, re.MULTILINE))
    targets = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
    declared = set(" ".join(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)).split())
    assert listed == targets == declared
    assert listed >= {"help", "demo", "test", "check", "bench", "clean", "servers", "venv"}


def test_imports_run_one_way(tmp_path: Path) -> None:
    checker = Path(sys.executable).with_name("lint-imports")
    if not checker.exists():
        pytest.skip("import-linter is not installed (requirements/dev.txt)")
    checked = subprocess.run(
        [str(checker), "--cache-dir", str(tmp_path)], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
