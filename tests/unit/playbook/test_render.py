"""Putting an alert's values into a playbook."""

from typing import Any

import pytest

from responder.actions.alertmanager_silence import AlertmanagerSilence
from responder.actions.http_request import HttpRequest
from responder.app import catalogue
from responder.language.matchers import parse_matcher
from responder.language.templates import MissingValue, Place, Template
from responder.playbook.model import Playbook
from responder.playbook.render import (
    ClusterMissing,
    render_arguments,
    render_names,
    render_probe,
    render_query,
    render_target,
    render_text,
    render_url,
)
from responder.playbook.schema import examine, load_playbook
from responder.probes.http_get import HttpGet
from tests.unit.playbook.fakes import CATALOGUE, MINIMAL, Count, Scale, with_lines


def load(*lines: str, base: str = MINIMAL) -> Playbook:
    return load_playbook(with_lines(*lines, base=base), "a.yaml", CATALOGUE, None)


def context(**labels: str) -> dict[str, Any]:
    return {"labels": labels, "annotations": {}, "connection": "", "owner": {}, "steps": {}}


def targeting(target: str, *lines: str) -> Playbook:
    return load(*lines, base=MINIMAL.replace("http/checkout", target))


def test_a_target_is_rendered_from_the_labels() -> None:
    assert render_target(targeting("http/checkout/{{ labels.item }}"), context(item="a")) == "http/checkout/a"


@pytest.mark.parametrize("labels", [{}, {"item": ""}])
def test_a_missing_or_empty_label_is_no_target(labels: dict[str, str]) -> None:
    with pytest.raises(MissingValue, match=r"labels\.item"):
        render_target(targeting("http/checkout/{{ labels.item }}"), context(**labels))


@pytest.mark.parametrize("item", ["a/b", "../shop", "/", " ", "a\nb"])
def test_a_label_cannot_reach_another_target(item: str) -> None:
    with pytest.raises(ValueError, match="target"):
        render_target(targeting("http/checkout/{{ labels.item }}"), context(item=item))


def test_a_kubernetes_target_begins_with_its_cluster() -> None:
    playbook = targeting("deployment/{{ labels.ns }}/api", 'cluster: "{{ labels.cluster }}"')
    assert render_target(playbook, context(ns="shop", cluster="eu")) == "eu/deployment/shop/api"
    with pytest.raises(ValueError, match="cluster"):
        render_target(playbook, context(ns="shop", cluster="eu/deployment"))


def test_without_a_cluster_the_configured_one_counts_and_none_is_refused() -> None:
    playbook = targeting("deployment/shop/api")
    assert render_target(playbook, {**context(), "cluster": "eu"}) == "eu/deployment/shop/api"
    with pytest.raises(ClusterMissing):
        render_target(playbook, context())


def test_a_connection_is_a_name_like_any_other() -> None:
    playbook = targeting("postgres/{{ connection }}")
    assert render_target(playbook, {**context(), "connection": "main"}) == "postgres/main"
    with pytest.raises(MissingValue):
        render_target(playbook, context())


def test_arguments_are_rendered_and_checked_again() -> None:
    playbook = load(base=MINIMAL.replace("max: 10", 'max: "{{ labels.most }}"'))
    action = render_arguments(playbook.steps[0], context(most="7"))
    assert isinstance(action, Scale)
    assert action.max == 7
    with pytest.raises(ValueError, match=r"fake\.scale\.max: a whole number is expected"):
        render_arguments(playbook.steps[0], context(most="many"))
    with pytest.raises(ValueError, match=r"fake\.scale\.max: must be at least 1"):
        render_arguments(playbook.steps[0], context(most="0"))


def test_a_lone_placeholder_keeps_the_kind_of_its_value() -> None:
    base = MINIMAL.replace("max: 10", 'max: 10\n      tags: { n: "{{ steps.first.after.n }}", s: "n={{ labels.n }}" }')
    playbook = load(base=base.replace("steps:\n", "steps:\n  - id: first\n    fake.scale: { by: 1, max: 2 }\n"))
    names = {**context(n="{{ labels.x }}"), "steps": {"first": {"before": {"n": 1}, "after": {"n": 6}}}}
    action = render_arguments(playbook.steps[1], names)
    assert isinstance(action, Scale)
    # A value is data: what looks like a placeholder in it stays as it is.
    assert action.tags == {"n": 6, "s": "n={{ labels.x }}"}


def test_a_label_cannot_leave_its_place_in_a_request_path() -> None:
    steps = (
        "steps:\n  - http.request:\n      service: checkout\n      read: GET /items/{{ labels.item }}\n"
        "      send: PUT /items/{{ labels.item }}\n      json: { path: '/x/{{ labels.item }}' }\n"
    )
    playbook = load(base=MINIMAL[: MINIMAL.index("steps:")] + steps)
    action = render_arguments(playbook.steps[0], context(item="a b/c?d"))
    assert isinstance(action, HttpRequest)
    assert action.send == "PUT /items/a%20b%2Fc%3Fd"
    assert action.json_ == {"path": "/x/a b/c?d"}
    with pytest.raises(ValueError, match=r"\.\."):
        render_arguments(playbook.steps[0], context(item=".."))
    with pytest.raises(ValueError, match=r"U\+FFFD"):
        render_arguments(playbook.steps[0], context(item="a\ufffd"))


def test_probes_are_rendered_like_actions() -> None:
    playbook = load(
        "when:",
        "  - probe: fake.count",
        "    with: { of: 'pods of {{ labels.a }}' }",
        "    equals: 1",
        "  - probe: http.get",
        "    with: { service: checkout, path: '/x/{{ labels.a }}' }",
        "    equals: 1",
    )
    count, get = (render_probe(condition, context(a="b/c")) for condition in playbook.when)
    assert isinstance(count, Count)
    assert count.of == "pods of b/c"
    assert isinstance(get, HttpGet)
    assert get.path == "/x/b%2Fc"


def test_a_label_cannot_leave_its_string_in_promql() -> None:
    playbook = load(
        "when:",
        '  - query: up{a="{{ labels.a }}", b=~"{{ labels.a }}"}',
        "    equals: 1",
    )
    assert render_query(playbook.when[0], context(a='x"} or vector(1) #.')) == (
        r'up{a="x\"} or vector(1) #.", b=~"x\"\\} or vector\\(1\\) #\\."}'
    )


@pytest.mark.parametrize("value", ['C:\\new "disk"', ".*", "eu-1", "a\nb", "1.2.3.4:9100", '"} or {'])
def test_a_silence_is_for_the_label_as_it_is(value: str) -> None:
    silence = [
        "  - alertmanager.silence:",
        "      source: main",
        "      for: 30m",
        "      matchers: [ 'path=\"{{ labels.path }}\"', 'path=~\"{{ labels.path }}.+\"' ]",
    ]
    text = MINIMAL.partition("  - fake.scale")[0] + "\n".join(silence)
    playbook, found = examine(text, "a.yaml", catalogue(), None)
    assert playbook is not None, found
    action = render_arguments(playbook.steps[0], context(path=value))
    assert isinstance(action, AlertmanagerSilence)
    exact, longer = (parse_matcher(one) for one in action.matchers)
    assert exact.value == value
    assert longer.matches({"path": f"{value}x"})
    assert not longer.matches({"path": "anything else"})


def test_a_value_without_quotes_is_no_syntax_of_a_matcher() -> None:
    bare = Template.parse("cluster={{ labels.cluster }}")
    assert bare.render(context(cluster="eu-1.example:80"), Place.MATCHER) == "cluster=eu-1.example:80"
    with pytest.raises(ValueError, match='write name="'):
        bare.render(context(cluster='a"b'), Place.MATCHER)


def test_texts_for_people_stay_readable_when_a_label_is_missing() -> None:
    template = load("docs: { meaning: 'Disk of {{ labels.host }}' }").docs.meaning
    assert template is not None
    assert render_text(template.text, context(host="a")) == "Disk of a"
    assert render_text(template.text, context()) == "Disk of (no labels.host)"


def test_a_link_to_somewhere_else_is_none() -> None:
    written = Template.parse("https://runbooks.example/{{ labels.alertname }}")
    assert render_url(written, context(alertname="DiskFull")) == "https://runbooks.example/DiskFull"
    assert render_url(written, context()) == ""


@pytest.mark.parametrize("text", ["plain", "{{ $value }} of {{ nothing }}", "{{", "a {{ labels.host | what }}"])
def test_what_is_no_template_of_ours_is_left_as_it_is(text: str) -> None:
    assert render_text(text, context(host="a")) == text


def test_a_query_without_a_name_is_told_with_the_values_of_the_alert() -> None:
    look = ["  - query: up{job='{{ labels.job }}'}", "    equals: 1"]
    playbook = load("when:", *look, "verify:", *look)
    named = render_names(playbook, context(job="api"))
    assert [one.name for one in (*named.when, *named.verify)] == ["up{job='api'}"] * 2
    assert named.when[0].query == playbook.when[0].query
    assert render_names(playbook, context()).verify[0].name == "up{job='(no labels.job)'}"


def test_a_query_without_a_name_is_told_as_it_is_sent() -> None:
    playbook = load("verify:", """  - query: up{job="{{ labels.job }}"}""", "    equals: 1")
    alert = context(job='a"} or vector(0) or foo{y="')
    (condition,) = render_names(playbook, alert).verify
    assert condition.name == render_query(playbook.verify[0], alert)
    assert condition.name == r"""up{job="a\"} or vector(0) or foo{y=\""}"""
