"""``kubernetes.scale`` in portions: they lead to where the whole would, and none goes beyond where it was to stop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.actions.kubernetes_scale import Scale
from responder.domain.portions import Portion

portion = st.integers(1, 5).map(Portion) | st.sampled_from([0.25, 0.5]).map(lambda share: Portion(share, share=True))


@given(st.integers(0, 12), st.integers(0, 15), portion, st.integers(-3, 3))
def test_portions_lead_to_where_the_whole_would(before: int, goal: int, by: Portion, foreign: int) -> None:
    whole = Scale(to=goal)
    at = before
    for part in whole.portions({"replicas": before}, by):
        again = Scale.model_validate(part.arguments())
        assert again == part
        after = again.change({"replicas": at})
        there = max(at + foreign, 1)
        edited = again.change({"replicas": there})
        assert isinstance(after, dict)
        assert isinstance(edited, dict)
        stop, met = int(str(after["replicas"])), int(str(edited["replicas"]))
        assert met <= max(stop, there) if stop > at else met >= min(stop, there)
        at = stop
    assert at == goal


def test_there_is_no_half_replica() -> None:
    with pytest.raises(ValueError, match="whole replicas"):
        Scale(to=5).portions({"replicas": 1}, Portion(1.5))
