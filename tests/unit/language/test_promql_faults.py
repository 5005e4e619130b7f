"""What Prometheus would refuse is found where it stands, and nothing else is."""

import json
import urllib.error
import urllib.parse
import urllib.request

import pytest

from responder.language.promql_faults import askable, first_fault
from tests.bed.servers import Prometheus

FAULTY = [
    ('sum(up{job="x"', 6, "this { is never closed"),
    ('sum(up{job="x"}', 3, "this ( is never closed"),
    ('sum(up{job="x")})', 14, "this ) meets a { that is still open"),
    ("sum(up))", 7, "this ) closes nothing"),
    ("rate(x[5m)", 9, "this ) meets a [ that is still open"),
    ('up{job="x}', 7, 'this " is never closed'),
    ("up{job='x}", 7, "this ' is never closed"),
    ("up{job=`x}", 7, "this ` is never closed"),
    ("up ; up", 3, "';' has no meaning"),
    ("rate(x[])", 6, "the range is empty"),
    ("rate(x[5mm])", 7, "'5mm' is not a duration"),
    ("rate(x[5m 1h])", 10, "one duration follows another"),
    ("rate(x[1h:5x])", 9, "':5x' is not a duration"),
    ('rate(x["5m"])', 7, "is not a duration"),
    ("x offset", 2, "offset takes a duration"),
    ("x offset > 5", 9, "offset takes a duration"),
    ("sum()", 0, "sum() is about nothing"),
    ("sum by (job) () > 5", 4, "is about nothing"),
    ("up + sum( ) by (job)", 5, "sum() is about nothing"),
    ("max_over_time()", 0, "max_over_time() is about nothing"),
    ("up{job=x}", 7, "stands in quotes"),
    ("up{job=}", 6, "stands in quotes"),
    ('up{job=="x"}', 6, "one ="),
    ("up ==", 3, "nothing follows =="),
    ("up and", 3, "nothing follows and"),
    ("(up >) + 1", 4, "nothing follows >"),
    ("* up", 0, "nothing stands before *"),
    ("sum(/ up)", 4, "nothing stands before /"),
]
FINE = [
    "up", "-up", "+up", "up == 0", 'sum(up{job="x"})', "sum by (job) (rate(x[5m]))", "sum(x) by (job) > 5",
    "sum without () (x)", "sum by () (x)", "rate(x[1h30m])", "max_over_time(rate(x[5m])[1h:1m])",
    "max_over_time(x[1h:])", "x offset 5m", "x offset -5m", "rate(x[5m] offset 1h)", "x @ end()", "x @ 1609746000",
    'up{job=~"a|b", instance!~"c.*",}', "up{}", "a and on (job) b", "a unless b", "a > bool 5", "5 < x",
    'label_replace(x, "a", "$1 [", "b", "(.*)")', "time() - x", "hour() > 5", "vector(1)", "up # a [ comment",
    "up{job='a'} or up{job=`b\\`}", "a ^ -1", "1e-3 < x", "topk(3, x)", 'count_values("v", x)',
    "a * on (x) group_left (y) b",
    "Inf", "0x1f + x", "job:errors:rate5m > 1", "absent(up)", "quantile(0.9, x)", "min", "sum", "offset", "x % 2",
    'up{job="{"}', "up{job=\"'\"}", "a == on () b", "avg(min(x))", "x[5m]", "day_of_week()",
]  # fmt: skip
WITH_PLACEHOLDERS = [
    'up{job="{{ labels.job }}"} == 0',
    'sum(up{job=~"{{ labels.job }}.*"})',
    "rate(x[{{ labels.window }}])",
    "rate(x[{{ labels.minutes }}m])",
    "x offset {{ labels.back }}",
    "{{ labels.metric }} > 5",
    "x > {{ labels.bound | default(5) }}",
    'x{a="{{ labels.a | default("}}") }}"}',
    'x{a=\'{{ labels.a | replace("]", "[") }}\'}',
]


@pytest.mark.parametrize(("query", "offset", "message"), FAULTY)
def test_a_fault_is_found_where_it_is(query: str, offset: int, message: str) -> None:
    fault = first_fault(query)
    assert fault is not None
    assert message in fault.message
    assert fault.offset == offset
    assert 1 <= fault.width <= len(query) - fault.offset


@pytest.mark.parametrize("query", [*FINE, *WITH_PLACEHOLDERS])
def test_what_prometheus_takes_is_let_through(query: str) -> None:
    assert first_fault(query) is None


def test_behind_a_placeholder_the_place_is_still_right() -> None:
    fault = first_fault('sum(up{job="{{ labels.job }}"}) > {{ labels.bound }})')
    assert fault is not None
    assert (fault.offset, fault.message) == (52, "this ) closes nothing")


def test_what_prometheus_can_be_asked_to_read_has_its_placeholders_in_texts_only() -> None:
    assert askable("up > 1") == "up > 1"
    filled = askable('up{job="{{ labels.job }}"}')
    assert filled is not None
    assert "{{" not in filled
    assert askable("x > {{ labels.bound }}") is None
    assert askable("up{") is None


def test_prometheus_says_the_same(prometheus_server: Prometheus) -> None:
    """What is refused here is refused there, and what is not certain is let through."""

    def takes(query: str) -> bool:
        url = f"{prometheus_server.url}/api/v1/query?{urllib.parse.urlencode({'query': query, 'time': 0})}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 -- our own server
                return bool(json.load(answer)["status"] == "success")
        except urllib.error.HTTPError:
            return False

    assert [query for query in FINE if not takes(query)] == []
    assert [query for query, _, _ in FAULTY if takes(query)] == []
