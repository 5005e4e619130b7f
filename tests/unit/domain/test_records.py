"""Records: when a later change lies upon an earlier one."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import JsonValue

from responder.domain.records import Record, RecordState, lies_upon

EARLIER = Record(
    id="a",
    run_id="one",
    index=0,
    step="add",
    action="http.request",
    target="shop/workers",
    arguments={},
    before={"workers": 4},
    planned={"workers": 6},
    state=RecordState.APPLIED,
    created_at=datetime(2026, 1, 5, tzinfo=UTC),
    observed={"workers": 6},
)


@pytest.mark.parametrize(
    ("action", "target", "observed", "upon"),
    [
        ("http.request", "shop/workers", {"workers": 6}, True),
        ("http.request", "shop/workers", {"workers": 8, "megabytes": 64}, True),
        ("http.request", "shop/workers", {"megabytes": 64}, False),
        ("http.request", "shop/cache", {"workers": 6}, False),
        ("kubernetes.scale", "shop/workers", {"workers": 6}, False),
        ("http.request", "shop/workers", "64", True),
    ],
)
def test_a_change_lies_upon_another_of_the_same_fields_of_the_same_target(
    action: str, target: str, observed: JsonValue, *, upon: bool
) -> None:
    later = replace(EARLIER, id="b", run_id="two", action=action, target=target, observed=observed)
    assert lies_upon(later, EARLIER) is upon


def test_what_was_planned_counts_where_nothing_was_seen_yet() -> None:
    assert lies_upon(replace(EARLIER, id="b", run_id="two", observed=None, planned={"workers": 7}), EARLIER)
