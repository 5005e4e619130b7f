"""Whatever a label holds, it stays a value."""

import json
import sqlite3
from urllib.parse import unquote, urlsplit

import re2
from hypothesis import given
from hypothesis import strategies as st

from responder.language.templates import Place, Template, TemplateError, UnsafeValue

VALUES = st.text(st.characters(codec="utf-8"), min_size=1) | st.lists(
    st.sampled_from(list("\"'`\\{}|.*+#;-/ \n$abE")), min_size=1, max_size=12
).map("".join)
PIECES = st.sampled_from(
    [
        "{{ ",
        " }}",
        "labels.x",
        "labels",
        ".",
        "[",
        "]",
        '"x"',
        "|",
        " default(",
        ")",
        "upper",
        "{%",
        "{{-",
        "$labels.x",
        "-",
        "(",
        "\n",
        "'",
    ]
)


@given(st.text() | st.lists(PIECES, max_size=15).map("".join))
def test_any_text_is_a_template_or_a_template_error(text: str) -> None:
    try:
        template = Template.parse(text)
    except TemplateError as error:
        offset = error.offset
    else:
        offset = 0
        assert str(template) == text
    assert 0 <= offset <= len(text)


@given(VALUES)
def test_text_is_put_in_as_it_is(value: str) -> None:
    assert Template.parse("a {{ labels.x }} b").render({"labels": {"x": value}}) == f"a {value} b"


@given(VALUES, st.sampled_from(['"', "'"]), st.sampled_from(["=", "!="]))
def test_a_string_in_promql_means_the_value(value: str, quote: str, operator: str) -> None:
    query = Template.parse(f"m{{a{operator}{quote}{{{{ labels.x }}}}{quote}}}").render(
        {"labels": {"x": value}}, Place.PROMQL
    )
    inner = query.removeprefix(f"m{{a{operator}{quote}").removesuffix(f"{quote}}}")
    assert promql_string(inner, quote) == value


@given(VALUES, VALUES)
def test_an_expression_in_promql_matches_the_value_and_nothing_else(value: str, other: str) -> None:
    query = Template.parse('m{a=~"{{ labels.x }}"}').render({"labels": {"x": value}}, Place.PROMQL)
    pattern = promql_string(query.removeprefix('m{a=~"').removesuffix('"}'), '"')
    options = re2.Options()
    options.log_errors = False
    compiled = re2.compile(f"^(?:{pattern})$", options)
    assert compiled.search(value)
    assert bool(compiled.search(other)) == (other == value)


@given(VALUES, st.sampled_from(["SELECT '{{ labels.x }}'", "SELECT {{ labels.x | replace('\\\\', '') }}"]))
def test_a_literal_in_sql_is_one_value(value: str, text: str) -> None:
    expected = value if "replace" not in text else value.replace("\\", "")
    if "\0" in value or not expected:
        return
    statement = Template.parse(text).render({"labels": {"x": value}}, Place.SQL_LITERAL)
    with sqlite3.connect(":memory:") as connection:
        assert connection.execute(statement).fetchone()[0] == expected
    connection.close()


@given(VALUES)
def test_a_value_in_a_path_is_one_segment(value: str) -> None:
    try:
        url = Template.parse("http://h/a/{{ labels.x }}/b").render({"labels": {"x": value}}, Place.URL_PATH)
    except UnsafeValue:
        assert value in {".", ".."}
        return
    parts = urlsplit(url)
    assert parts.query == parts.fragment == ""
    assert [unquote(part) for part in parts.path.split("/")] == ["", "a", value, "b"]


def promql_string(inner: str, quote: str) -> str:
    """Read a PromQL string's inside: its escapes are JSON's, but for bytes in hexadecimal and the single quote."""
    out, at = [], 0
    while at < len(inner):
        assert inner[at] != quote
        assert inner[at] != "\n"
        if inner[at] != "\\":
            out.append(inner[at])
            at += 1
        elif inner[at + 1] == "x":
            out.append(chr(int(inner[at + 2 : at + 4], 16)))
            at += 4
        else:
            sign = inner[at + 1]
            out.append(sign if sign == "'" else json.loads(f'"\\{sign}"'))
            at += 2
    return "".join(out)
