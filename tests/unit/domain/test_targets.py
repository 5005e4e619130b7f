"""Protection and pauses by pattern: too wide is safe, too narrow is not."""

from datetime import UTC, datetime

import pytest

from responder.domain.limits import Pause, Subject
from responder.domain.targets import conflicts, connection_of, is_protected

NOW = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        ("http/svc/protected*", "http/svc/protected1"),
        ("http/svc*", "http/svc/workers"),
        ("*protected*", "http/svc/protected1"),
        ("http/svc", "http/svc/workers/deep"),
        ("*/namespace/kube-system", "prod-eu/namespace/kube-system"),
        ("*/namespace/kube-system", "prod-eu/deployment/kube-system/coredns"),
        ("*/deployment/*/responder", "prod-eu/deployment/ops/responder"),
    ],
)
def test_a_pattern_covers_what_it_fits_and_everything_below(pattern: str, key: str) -> None:
    assert is_protected(key, [pattern])
    assert Pause("p", "pause", f"target:{pattern}", "", "ana", NOW).covers(Subject("any", key), NOW)


@pytest.mark.parametrize(("pattern", "key"), [("http/svc/a", "http/svc/b"), ("http/svc", "http/service"), ("x", "y/x")])
def test_a_pattern_leaves_others_alone(pattern: str, key: str) -> None:
    assert not is_protected(key, [pattern])


def test_a_target_conflicts_with_what_stands_above_and_below_it() -> None:
    assert conflicts("http/svc", "http/svc/a")
    assert conflicts("http/svc/a", "http/svc")
    assert not conflicts("http/svc/a", "http/svc/ab")


def test_a_target_is_reached_through_its_connection_or_its_cluster() -> None:
    assert connection_of("http/checkout/workers") == "http/checkout"
    assert connection_of("http/job/it") == "http/job"
    assert connection_of("prod-eu/deployment/shop/api") == connection_of("prod-eu/node/worker-1") == "prod-eu"
