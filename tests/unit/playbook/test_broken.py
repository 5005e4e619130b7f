"""Golden tests of the complaints: each broken playbook has what ``check`` says about it beside it.

After a deliberate change: ``UPDATE_GOLDEN=1 pytest tests/unit/playbook/test_broken.py``, and read the difference.
"""

import io
import os
from pathlib import Path

import pytest

from responder.cli.check import FINDINGS, OK, run_check
from responder.language.intervals import TimeInterval
from responder.playbook.names import Names
from tests.unit.playbook.fakes import CATALOGUE

BROKEN = Path(__file__).parent / "broken"
CONFIGURED = Names(
    connections={"http": frozenset({"checkout", "shop"})},
    allow={"checkout": ("GET /*", "put /admin/*"), "shop": ()},
    time_intervals={"holidays": (TimeInterval.parse({"months": ["december"]}),), "never": ()},
    clusters=frozenset({"prod-eu"}),
    pagerduty=frozenset({"payments"}),
    channels={"webhook": frozenset({"audit"})},
    protect=("http/shop/ledger", "prod-eu/*/shop/*"),
    people={"ana": "operator", "guest": "viewer"},
)
LOOKED_UP = {"names", "calls", "allow", "no-prometheus", "nobody-answers", "one-answers", "protected"}
ONLY_WARNINGS = {
    "any-alert",
    "many-portions",
    "no-rest",
    "only-negative",
    "no-cooldown",
    "no-escalation",
    "no-prometheus",
    "one-answers",
    "protected",
    "read-elsewhere",
    "too-long",
}


@pytest.mark.parametrize("name", sorted(path.stem for path in BROKEN.glob("*.yaml")))
def test_every_complaint_says_where_what_and_how_to_mend_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BROKEN)
    out = io.StringIO()
    names = CONFIGURED if name in LOOKED_UP else None
    code = run_check([Path(f"{name}.yaml")], catalogue=CATALOGUE, names=names, stdout=out)
    golden = BROKEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(out.getvalue(), encoding="utf-8")
    assert out.getvalue() == golden.read_text(encoding="utf-8")
    assert code == (OK if name in ONLY_WARNINGS else FINDINGS)


def test_every_golden_belongs_to_a_playbook() -> None:
    assert {path.stem for path in BROKEN.glob("*.txt")} == {path.stem for path in BROKEN.glob("*.yaml")}
