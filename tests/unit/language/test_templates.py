"""Templates put values in as data, escaped for their place, and refuse everything that would compute."""

import pytest

from responder.language.templates import MissingValue, Place, Template, TemplateError, UnsafeValue

CONTEXT: dict[str, object] = {
    "labels": {
        "ns": "shop",
        "x-y": "dash",
        "if": "keyword",
        "empty": "",
        "instance": "10.0.0.1:9100",
        "v6": "[::1]:9100",
        "url": "https://api.example:8443/path",
        "evil": '"} or vector(1) #',
        "meta": "a.b|c",
        "slash": "a\\b",
        "quote": "it's",
        "dots": "..",
        "dot": ".",
        "path": "/var/log/app.log",
        "template": "{{ labels.ns }}",
        "number": "12.5",
        "lines": "a\nb",
    },
    "annotations": {"x": "note"},
    "owner": {"deployment": "api"},
    "connection": "main",
    "steps": {"scale": {"after": {"replicas": 3, "on": True}}},
    "item": "row",
}


def rendered(text: str, place: Place = Place.TEXT) -> str:
    return Template.parse(text).render(CONTEXT, place)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("", ""),
        ("deployment/{{ labels.ns }}/{{labels.ns}}", "deployment/shop/shop"),
        ('{{ labels["x-y"] }}', "dash"),
        ("{{ labels.if }}", "keyword"),
        ("{{ annotations.x }} {{ owner.deployment }} {{ connection }} {{ item }}", "note api main row"),
        ("{{ steps.scale.after.replicas }}", "3"),
        ("{{ steps.scale.after.on }}", "true"),
        ("{{ labels.instance | host }}:{{ labels.instance | port }}", "10.0.0.1:9100"),
        ("{{ labels.v6 | host }} {{ labels.v6 | port }}", "::1 9100"),
        ("{{ labels.url | host }} {{ labels.url | port }}", "api.example 8443"),
        ("{{ labels.ns | upper }} {{ labels.ns | upper | lower }}", "SHOP shop"),
        ('{{ labels.path | basename | replace(".log", "") }}', "app"),
        ('{{ labels.empty | default("z") | upper }}', "Z"),
        ('{{ labels.nothing | default("") }}', ""),
        ("{{ labels.nothing | default(5) }}", "5"),
        ('{{ labels.ns | default("}}") }}', "shop"),
        ('{{ "literal" }}', "literal"),
        ("${#array} and ${var} }}", "${#array} and ${var} }}"),
        ("{{ labels.template }}", "{{ labels.ns }}"),
    ],
)
def test_values_are_put_in(text: str, result: str) -> None:
    assert rendered(text) == result


@pytest.mark.parametrize(
    ("text", "offset", "words"),
    [
        ("{{ $labels.x }}", 3, "did you mean `{{ labels.x }}`?"),
        ("x $labels.x", 2, "did you mean `{{ labels.x }}`?"),
        ("{{ .Labels.x }}", 0, "did you mean `{{ labels.x }}`?"),
        ("{{ .CommonAnnotations.x }}", 0, "did you mean `{{ annotations.x }}`?"),
        ("{{ lables.x }}", 0, "did you mean labels.x?"),
        ("a {{ namespace }}", 2, "did you mean labels.namespace?"),
        ("{{ labels.x-y }}", 11, 'labels["a-b"]'),
        ("{{ labels.a.b }}", 0, 'labels["a.b"]'),
        ("{{ labels }}", 0, "names no value"),
        ("{{ steps.scale }}", 0, "names no value"),
        ("{{ labels.x + 1 }}", 12, "nothing is computed"),
        ("{{ not labels.x }}", 3, "nothing is computed"),
        ("{{ labels.x if labels.y }}", 12, "nothing is computed"),
        ('{{ labels.get("x") }}', 0, "only a path"),
        ("{{ labels[labels.x] }}", 0, "only a path"),
        ("{{ labels.x, labels.y }}", 0, "only a path"),
        ("{{ [1] }}", 0, "only a path"),
        ("{{ none }}", 0, "only a path"),
        ("{{ labels.x | uper }}", 0, "did you mean upper?"),
        ("{{ labels.x | default }}", 0, "one literal argument"),
        ("{{ labels.x | default(labels.y) }}", 0, "one literal argument"),
        ('{{ labels.x | replace("a") }}', 0, "two literal arguments"),
        ("{{ labels.x | upper(1) }}", 0, "no arguments"),
        ("ab {{ labels.x", 3, "never closed"),
        ("{{ }}", 0, "nothing between"),
        ("{% if x %}", 0, "no statements"),
        ("{% raw %}x{% endraw %}", 0, "no statements"),
        ("{{- labels.x }}", 0, "without - or +"),
        ("{{ labels.x @ 3 }}", 12, "cannot be read"),
        ("{{ " + "(" * 900 + " }}", 7, "too many brackets"),
        ("{{ labels." + "x" * 600 + " }}", 0, "at most 500"),
    ],
)
def test_whatever_is_not_a_plain_value_is_refused_at_load(text: str, offset: int, words: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template.parse(text)
    assert words in str(caught.value)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    "text", ["{{ labels.empty }}", "{{ labels.nothing }}", "{{ labels.ns | port }}", "x{{ labels.empty | upper }}"]
)
def test_a_missing_or_empty_value_is_named(text: str) -> None:
    with pytest.raises(MissingValue) as caught:
        rendered(text)
    assert caught.value.path == min(Template.parse(text).paths)


def test_a_template_says_what_it_needs() -> None:
    template = Template.parse('{{ labels.ns }} {{ labels["x-y"] | default("") }} {{ item.name }}')
    assert template.paths == {("labels", "ns"), ("labels", "x-y"), ("item", "name")}
    assert not template.is_constant
    assert Template.parse("{ plain }").is_constant


def test_a_lone_placeholder_keeps_the_type_of_its_value() -> None:
    assert Template.parse("{{ steps.scale.after.replicas }}").render_value(CONTEXT) == 3
    assert Template.parse("{{ steps.scale.after.replicas }} ").render_value(CONTEXT) == "3 "
    assert Template.parse("{{ steps.scale.after }}").render_value(CONTEXT) == {"replicas": 3, "on": True}
    assert Template.parse("5").render_value(CONTEXT) == "5"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('m{a="{{ labels.evil }}"}', r'm{a="\"} or vector(1) #"}'),
        ("m{a='{{ labels.quote }}'}", r"m{a='it\'s'}"),
        ('m{a="{{ labels.quote }}"}', """m{a="it's"}"""),
        ('m{a="{{ labels.slash }}"}', r'm{a="a\\b"}'),
        ('m{a="{{ labels.lines }}"}', r'm{a="a\nb"}'),
        ('m{a="{{ labels.meta }}"}', 'm{a="a.b|c"}'),
        ('m{a!="{{ labels.meta }}"}', 'm{a!="a.b|c"}'),
        ('m{a=~"{{ labels.meta }}"}', r'm{a=~"a\\.b\\|c"}'),
        ('m{a !~ "x|{{ labels.meta }}.*"}', r'm{a !~ "x|a\\.b\\|c.*"}'),
        ('m{a=~"{{ labels.slash }}"}', r'm{a=~"a\\\\b"}'),
        ("m{a=~`{{ labels.meta }}`}", r"m{a=~`a\.b\|c`}"),
        (
            'm{a="x",b=~"{{ labels.ns }}-{{ labels.meta }}",c="{{ labels.meta }}"}',
            r'm{a="x",b=~"shop-a\\.b\\|c",c="a.b|c"}',
        ),
        ('m{a="\\"",b=~"{{ labels.meta }}"}', r'm{a="\"",b=~"a\\.b\\|c"}'),
        ("m > {{ labels.number }}", "m > 12.5"),
        ("# it's\nm{a='{{ labels.quote }}'}", "# it's\nm{a='it\\'s'}"),
    ],
)
def test_a_value_in_promql_is_escaped_for_its_operator(text: str, result: str) -> None:
    assert rendered(text, Place.PROMQL) == result


@pytest.mark.parametrize(
    "text",
    [
        "m > {{ labels.evil }}",
        "m{a={{ labels.meta }}}",
        "m # {{ labels.lines }}",
        'm{a="\\{{ labels.evil }}"}',
        'm{a=~"\\\\{{ labels.meta }}"}',
    ],
)
def test_a_value_that_would_become_promql_is_refused(text: str) -> None:
    with pytest.raises(UnsafeValue):
        rendered(text, Place.PROMQL)


@pytest.mark.parametrize(
    ("text", "place", "result"),
    [
        ("/api/{{ labels.path }}", Place.URL_PATH, "/api/%2Fvar%2Flog%2Fapp.log"),
        ("/api/{{ labels.evil }}", Place.URL_PATH, "/api/%22%7D%20or%20vector%281%29%20%23"),
        ("q={{ labels.evil }}", Place.URL_QUERY, "q=%22%7D%20or%20vector%281%29%20%23"),
        ("SELECT '{{ labels.quote }}'", Place.SQL_LITERAL, "SELECT 'it''s'"),
        ("SELECT {{ labels.quote }}", Place.SQL_LITERAL, "SELECT 'it''s'"),
        ('SELECT "{{ labels.evil }}"', Place.SQL_LITERAL, 'SELECT """} or vector(1) #"'),
        ("SELECT E'{{ labels.slash }}'", Place.SQL_LITERAL, "SELECT E'a\\\\b'"),
        ("SELECT {{ labels.slash }}", Place.SQL_LITERAL, "SELECT  E'a\\\\b'"),
        ("SELECT 'a''b', '{{ labels.quote }}'", Place.SQL_LITERAL, "SELECT 'a''b', 'it''s'"),
        ("/* it's */ SELECT '{{ labels.quote }}'", Place.SQL_LITERAL, "/* it's */ SELECT 'it''s'"),
    ],
)
def test_a_value_in_a_url_or_in_sql_is_escaped(text: str, place: Place, result: str) -> None:
    assert rendered(text, place) == result


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("/a/{{ labels.dots }}/b", Place.URL_PATH),
        ("/a/{{ labels.dot }}{{ labels.dot }}", Place.URL_PATH),
        ("SELECT 1 -- {{ labels.lines }}", Place.SQL_LITERAL),
        ("/* {{ labels.ns }} */", Place.SQL_LITERAL),
        ("/* /* */ {{ labels.ns }} */", Place.SQL_LITERAL),
        ("SELECT $$ {{ labels.ns }} $$", Place.SQL_LITERAL),
        ("SELECT E'\\{{ labels.quote }}'", Place.SQL_LITERAL),
    ],
)
def test_a_value_that_would_climb_or_escape_is_refused(text: str, place: Place) -> None:
    with pytest.raises(UnsafeValue):
        rendered(text, place)
