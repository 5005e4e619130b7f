"""A hostile value stays a value wherever a template puts it."""

import pytest

from responder.language.templates import Place, Template, UnsafeValue


def render(text: str, value: str, place: Place) -> str:
    return Template.parse(text).render({"labels": {"x": value}}, place)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"SELECT E'{{ labels.x }}'", r"SELECT E'\\''; DROP'"),
        (r"SELECT E'it''s {{ labels.x }}'", r"SELECT E'it''s \\''; DROP'"),
        ("SELECT e'a'\n  '{{ labels.x }}'", "SELECT e'a'\n  '\\\\''; DROP'"),
        ("SELECT e'a' -- why\n'{{ labels.x }}'", "SELECT e'a' -- why\n'\\\\''; DROP'"),
        (r"SELECT E'a\'b{{ labels.x }}'", r"SELECT E'a\'b\\''; DROP'"),
        (r"SELECT E'a', '{{ labels.x }}'", r"SELECT E'a', '\''; DROP'"),
        (r"SELECT 'it''s {{ labels.x }}'", r"SELECT 'it''s \''; DROP'"),
    ],
)
def test_a_backslash_and_a_quote_do_not_end_a_string_of_sql(text: str, expected: str) -> None:
    assert render(text, r"\'; DROP", Place.SQL_LITERAL) == expected


@pytest.mark.parametrize("behind", ["", "/b", "?force=1", "#top", ";v=1", ";v=1/b"])
def test_a_value_does_not_climb_in_a_path_whatever_stands_behind_it(behind: str) -> None:
    with pytest.raises(UnsafeValue, match="part of the path"):
        render("/admin/{{ labels.x }}" + behind, "..", Place.URL_PATH)


def test_a_dot_completes_no_escaped_one() -> None:
    with pytest.raises(UnsafeValue, match="part of the path"):
        render("/admin/%2E{{ labels.x }}", ".", Place.URL_PATH)


def test_dots_behind_the_path_are_harmless() -> None:
    assert render("/admin?file=../{{ labels.x }}", "..", Place.URL_PATH) == "/admin?file=../.."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a{b=~ # why\n "{{ labels.x }}"}', 'a{b=~ # why\n "\\\\.\\\\*"}'),
        ('a{b="c",d!~ "{{ labels.x }}"}', 'a{b="c",d!~ "\\\\.\\\\*"}'),
        ('a{b=~"c",d="{{ labels.x }}"}', 'a{b=~"c",d=".*"}'),
        ('a{b="c=~","{{ labels.x }}"="d"}', 'a{b="c=~",".*"="d"}'),
        ('label_replace(a{b="{{ labels.x }}"}, "c", "$1", "d", "(.*)")', None),
    ],
)
def test_an_expression_of_promql_is_recognised_by_its_operator(text: str, expected: str | None) -> None:
    assert render(text, ".*", Place.PROMQL) == (expected or text.replace("{{ labels.x }}", ".*"))


@pytest.mark.parametrize(
    "text",
    [
        'label_replace(a, "b", "$1", "c", "{{ labels.x }}")',
        'label_replace(a{b="c"}, "d", "{{ labels.x }}", "e", "(.*)")',
    ],
)
def test_a_value_cannot_become_part_of_label_replace(text: str) -> None:
    with pytest.raises(UnsafeValue, match="label_replace"):
        render(text, "shop", Place.PROMQL)


def test_a_label_value_without_quotes_is_refused_with_what_to_write() -> None:
    with pytest.raises(UnsafeValue, match="in quotes"):
        render("a{b={{ labels.x }}}", "shop", Place.PROMQL)
    assert render('a{b="c"} > {{ labels.x }}', "5", Place.PROMQL) == 'a{b="c"} > 5'
    assert render('a{b="}"} > {{ labels.x }}', "5", Place.PROMQL) == 'a{b="}"} > 5'


@pytest.mark.parametrize("word", ["or", "AND", "unless", "bool", "on", "ignoring", "by", "without", "offset"])
def test_a_word_of_promql_is_no_name(word: str) -> None:
    with pytest.raises(UnsafeValue, match="outside quotes"):
        render("a {{ labels.x }} b", word, Place.PROMQL)
