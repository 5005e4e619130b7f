"""The page of guards names tests that exist, and each guard can be broken to see them fail."""

import ast
import re
from pathlib import Path

import pytest

from tests.attack.guards import broken, campaign, guards
from tests.attack.mutants import BREAKS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "safety.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_each_guard_is_held_by_a_test_that_exists() -> None:
    missing = [
        f"{file}::{name}"
        for file, name in NAMED
        if not re.search(rf"^(?:async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert missing == []


def test_each_guard_names_one() -> None:
    rows = [row for row in PAGE.splitlines() if row.startswith("| ") and not row.startswith(("| Guard", "| ---"))]
    assert len(rows) >= 25
    assert [row for row in rows if "::test_" not in row] == []


def test_each_guard_can_be_broken_on_purpose() -> None:
    assert sorted(BREAKS) == sorted(guards())


@pytest.mark.parametrize("guard", BREAKS)
def test_what_is_broken_is_there_and_is_a_program_still(guard: str) -> None:
    for how in BREAKS[guard].every:
        sound = (ROOT / "responder" / how.path).read_text(encoding="utf-8")
        ast.parse(broken(sound, how))


def test_a_broken_guard_is_noticed() -> None:
    said: list[str] = []
    (outcome,) = campaign(["What cannot be read"], said.append)
    assert outcome.noticed_by, said
