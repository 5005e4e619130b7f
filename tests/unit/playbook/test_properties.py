"""Whatever the text, loading ends with a playbook or with complaints that point into the file."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from responder.domain.errors import PlaybookError
from responder.language.intervals import TimeInterval
from responder.playbook.names import Names
from responder.playbook.schema import examine, load_playbook
from responder.playbook.shape import ApprovalShape, ConditionShape, LimitsShape, key_names, story_keys
from tests.unit.playbook.fakes import CATALOGUE, MINIMAL, inputs_of_all

NAMES = Names(time_intervals={"x": (TimeInterval.parse({}),)}, connections={"http": frozenset({"a"})})
KEYS = sorted(
    {
        *story_keys(),
        *(key for shape in (ApprovalShape, ConditionShape, LimitsShape) for key in key_names(shape)),
        *("id", "undo", "accept", "retries", "slack", "pagerduty", "service", "states", "replace", "by_hand"),
        *CATALOGUE.actions,
        *inputs_of_all(),
    },
)
WORDS = st.sampled_from(
    [
        *(
            "",
            "up",
            "1%",
            "5m",
            "3 per 1h",
            "auto",
            "off",
            "none",
            "x",
            "scale",
            "http/a",
            "PUT /x",
            "#a",
            "role:admin",
        ),
        *("{{ labels.a }}", "{{ steps.a.after.b }}", "{{", 'a="b"', 'a!="b"', "a=~'('", "fake.count", "\u2028", "é"),
    ],
)
SCALARS = st.none() | st.booleans() | st.integers(-5, 10**19) | st.floats() | WORDS | st.text(max_size=8)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | WORDS, inner, max_size=5),
    max_leaves=20,
)
PLAYBOOKS = st.dictionaries(st.sampled_from(KEYS), TREES, max_size=6)
STEPS = st.dictionaries(st.sampled_from(["fake.scale", "fake.restart", "http.request", "id", "when", "verify"]), TREES)
QUIET = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def loads_or_complains(text: str, names: Names | None) -> None:
    try:
        playbook = load_playbook(text, "a.yaml", CATALOGUE, names)
    except PlaybookError as error:
        lines = text.splitlines() or [""]
        for complaint in error.complaints:
            assert 1 <= complaint.line <= len(lines) + 1
            assert complaint.column >= 1
            assert complaint.width >= 1
            assert complaint.rule
            assert "\n" not in complaint.message
    else:
        assert playbook.alternatives
        assert all(playbook.alternatives)


@QUIET
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    loads_or_complains(text, None)


@QUIET
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    playbook, complaints = examine(data, "a.yaml", CATALOGUE, NAMES)
    assert playbook is not None or complaints


@QUIET
@given(PLAYBOOKS, st.booleans())
def test_any_tree_of_known_keys(tree: dict[str, Any], configured: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    loads_or_complains(json.dumps(tree), NAMES if configured else None)


@QUIET
@given(st.lists(STEPS, max_size=3), st.booleans())
def test_any_steps(steps: list[dict[str, Any]], configured: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    start = MINIMAL[: MINIMAL.index("steps:")]
    loads_or_complains(f"{start}mode: auto\nsteps: {json.dumps(steps)}\n", NAMES if configured else None)


@QUIET
@given(st.integers(0, len(MINIMAL)), st.integers(0, 12), st.text(max_size=6))
def test_any_slip_of_the_pen(start: int, length: int, typed: str) -> None:
    loads_or_complains(MINIMAL[:start] + typed + MINIMAL[start + length :], NAMES)
