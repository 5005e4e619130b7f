"""``guards``: break each guard on purpose, and see one of the tests fail that are said to hold it.

Works on a copy of the checkout; a guard whose tests all pass although it is broken is held by nobody. A test counts
when it fails with the guard broken, and passes with the guard in place.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.attack.mutants import BREAKS, Break

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "safety.md"
SECONDS = 300
"""A test that takes longer than this waits for what a broken guard never does: that is a failure, too."""
_FAILED = 1
"""pytest's exit code for tests that failed; others say that nothing was tested."""
_NAMED = re.compile(r"`(tests/[\w/]+\.py::\w+)`")
_SLOW = ("tests/acceptance/", "tests/attack/", "tests/crash/")
"""Asked after all others."""
_COPIED = ("responder", "tests", "playbooks", "alertmanager", "docs", "pyproject.toml", "README.md", "CHANGELOG.md")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a broken guard: the test that noticed, or empty with what happened instead."""

    guard: str
    noticed_by: str
    instead: str = ""


def guards() -> Mapping[str, Sequence[str]]:
    """Return the tests that hold each guard, as the page says."""
    rows = [row.strip("| ").split(" | ") for row in PAGE.read_text(encoding="utf-8").splitlines() if "::test_" in row]
    return {row[0]: sorted(_NAMED.findall(row[-1]), key=lambda test: test.startswith(_SLOW)) for row in rows}


def campaign(only: Sequence[str], say: Callable[[str], None]) -> Sequence[Outcome]:
    """Break one guard after the other; ``only`` picks those that have one of its words in their names."""
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="responder-guards-") as folder:
        copy = Path(folder) / "checkout"
        copy.mkdir()
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name)  # bytecode, too: it holds for what is as old as its source
            elif source.exists():
                shutil.copy(source, copy / name)
        for guard, tests in guards().items():
            if guard in BREAKS and (not only or any(word in guard for word in only)):
                outcomes.append(_broken(copy, guard, BREAKS[guard], tests))
                say(f"{guard}: {outcomes[-1].noticed_by or 'NOBODY NOTICED: ' + outcomes[-1].instead}")
    return outcomes


def broken(text: str, how: Break) -> str:
    """Return the text of a module with its guard broken; raises ValueError when the guard is no longer there."""
    if text.count(how.old) != 1:
        msg = f"{how.path} holds {text.count(how.old)} times what is to be broken: {how.old!r}"
        raise ValueError(msg)
    return text.replace(how.old, how.new)


def _broken(copy: Path, guard: str, how: Break, tests: Sequence[str]) -> Outcome:
    modules = {one: copy / "responder" / one.path for one in how.every}
    sound = {one: module.read_text(encoding="utf-8") for one, module in modules.items()}
    said = ""
    for test in tests:
        for one, module in modules.items():
            module.write_text(broken(sound[one], one), encoding="utf-8")
        try:
            code, said = _run(copy, test)
        finally:
            for one, module in modules.items():
                module.write_text(sound[one], encoding="utf-8")
        if code != _FAILED:
            continue
        code, said = _run(copy, test)
        if code == 0:
            return Outcome(guard, test)
        said = f"{test} fails with the guard in place, too: {said}"
    return Outcome(guard, "", said)


def _run(copy: Path, test: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return _FAILED, "it never ended"
    return done.returncode, (done.stdout.strip().splitlines() or [""])[-1]
