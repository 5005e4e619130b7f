"""Matchers are read, refused and applied as Alertmanager does it."""

import pytest

from responder.language.matchers import Matcher, parse_matcher, parse_matchers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foo=bar", [("foo", "=", "bar")]),
        ("foo=~a|b", [("foo", "=~", "a|b")]),
        ("foo=~[a-z]+", [("foo", "=~", "[a-z]+")]),
        ("foo=~^(a|b)$", [("foo", "=~", "^(a|b)$")]),
        ('foo=""', [("foo", "=", "")]),
        ('{foo="bar",baz!="q"}', [("foo", "=", "bar"), ("baz", "!=", "q")]),
        ('foo="bar",', [("foo", "=", "bar")]),
        ('{foo="bar",}', [("foo", "=", "bar")]),
        (' foo !~ "kube-.*" ', [("foo", "!~", "kube-.*")]),
        ("a=b,c!=d", [("a", "=", "b"), ("c", "!=", "d")]),
        ("{}", []),
        ("", []),
    ],
)
def test_what_every_alertmanager_reads_is_read(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert [(one.name, one.op, one.value) for one in parse_matchers(text)] == expected


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("foo.bar=baz", "foo.bar", "baz"),
        ('"foo.bar"="baz"', "foo.bar", "baz"),
        ("日本=x", "日本", "x"),
        ('foo="\\u00e9\\x41\\102\\n\\"\\\\"', "foo", 'éAB\n"\\'),
        ('foo="\\xe6\\x97\\xa5"', "foo", "日"),
        ('foo="a,b}=c"', "foo", "a,b}=c"),
        ('"with space"="x"', "with space", "x"),
    ],
)
def test_names_and_values_in_utf_8_are_read(text: str, name: str, value: str) -> None:
    assert parse_matcher(text) == Matcher(name, "=", value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("foo=", '0:4: end of input: expected label value; for an empty value write ""'),
        ("foo=bar baz", '8:11: unexpected baz: expected a comma or close brace; quote the value: foo="bar baz"'),
        ("foo='bar'", "4:5: ': invalid input: expected label value; use double quotes"),
        (r'foo=~"\d+"', r'5:10: "\d+": invalid input; in quotes a backslash is written twice: \\'),
        ("foo==bar", "4:5: unexpected =: expected label value; a matcher has one ="),
        ("{foo=bar", "0:8: end of input: expected close brace"),
        ("foo=~a{2}", '6:7: unexpected {: expected a comma or close brace; quote the value: foo=~"a{2}"'),
    ],
)
def test_what_only_the_classic_grammar_reads_is_refused_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        parse_matcher(text)
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("foo", "0:3: end of input: expected an operator such as"),
        ("=bar", "0:1: unexpected =: expected label name"),
        ('""="x"', "expected label name"),
        ("foo!bar", "4:5: b: expected one of '=~'"),
        ('foo="bar', 'missing end "'),
        ("foo=bar}", "0:8: }: expected opening brace"),
        ("{foo=bar}x", "9:10: x: expected end of input"),
        ("foo=bar,,", "8:9: unexpected ,: expected a matcher or close brace after comma"),
        ("foo=bar a=b", "separate matchers with commas"),
        ('foo="\\xff"', "invalid input"),
        ('foo="\\ud800"', "invalid input"),
        ('foo="a\nb"', "line break"),
        ("foo=~`a`", "use double quotes"),
        ('foo=~"("', "error parsing regexp"),
        ('foo=~"(?!a)b"', "look-around"),
        ('foo=~"a)|(b"', "error parsing regexp"),
        ("a=b,c=d", "expected 1 matcher, found 2"),
        ("", "no matchers"),
    ],
)
def test_what_is_no_matcher_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        parse_matcher(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "labels", "fits"),
    [
        ("a=b", {"a": "b"}, True),
        ("a=b", {"a": "bb"}, False),
        ("a!=b", {}, True),
        ('a=""', {}, True),
        ('a!=""', {}, False),
        ('a=~".*"', {}, True),
        ('a=~".+"', {}, False),
        ('a!~".+"', {}, True),
        ("a=~b|c", {"a": "c"}, True),
        ("a=~b|c", {"a": "bc"}, False),
        ("a=~b", {"a": "abc"}, False),
        ("a!~b", {"a": "abc"}, True),
        ('a=~"^b$"', {"a": "b"}, True),
        ('a=~"b.c"', {"a": "b\nc"}, False),
        ('a=~"b"', {"a": "b\n"}, False),
        ('a=~"(?i)b"', {"a": "B"}, True),
        ('a=~"\\\\w+"', {"a": "é"}, False),
        ('a=~"."', {"a": "日"}, True),
        ('a=~"x"', {"a": "\ud800"}, False),
    ],
)
def test_a_matcher_looks_at_the_whole_value(text: str, labels: dict[str, str], fits: bool) -> None:  # noqa: FBT001 - a column of the table
    assert parse_matcher(text).matches(labels) is fits


def test_a_greedy_expression_takes_linear_time() -> None:
    assert not parse_matcher('a=~"(a+)+b"').matches({"a": "a" * 20_000})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a=b", 'a="b"'),
        ("{ a =~ b|c }", 'a=~"b|c"'),
        ('"a b"!="c\\"d"', '"a b"!="c\\"d"'),
        ('a="\\n"', 'a="\\n"'),
    ],
)
def test_a_matcher_prints_canonically(text: str, shown: str) -> None:
    assert str(parse_matcher(text)) == shown
