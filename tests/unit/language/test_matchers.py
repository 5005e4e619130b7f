"""Matchers read, refuse and match as Alertmanager's do."""

import pytest

from responder.language.matchers import Matcher, parse_matcher, parse_matchers


@pytest.mark.parametrize(
    ("text", "matchers"),
    [
        ("foo=bar", [("foo", "=", "bar")]),
        ("foo=~a|b", [("foo", "=~", "a|b")]),
        ("foo=~[a-z]+", [("foo", "=~", "[a-z]+")]),
        ("foo=~^(a|b)$", [("foo", "=~", "^(a|b)$")]),
        ('foo=""', [("foo", "=", "")]),
        ('{foo="bar",baz!="q"}', [("foo", "=", "bar"), ("baz", "!=", "q")]),
        ("foo=bar,", [("foo", "=", "bar")]),
        ("{foo=bar,}", [("foo", "=", "bar")]),
        (" { foo = bar , baz !~ q } ", [("foo", "=", "bar"), ("baz", "!~", "q")]),
        ("", []),
        ("{}", []),
    ],
)
def test_what_every_alertmanager_accepts(text: str, matchers: list[tuple[str, str, str]]) -> None:
    assert [(one.name, one.op, one.value) for one in parse_matchers(text)] == matchers


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("foo.bar=baz", "foo.bar", "baz"),
        ('"foo.bar"="baz"', "foo.bar", "baz"),
        ("日本=x", "日本", "x"),
        ("foo=🙂", "foo", "🙂"),
        (r'foo="\xf0\x9f\x99\x82"', "foo", "🙂"),
        (r'foo="\U0001f642"', "foo", "🙂"),
        (r'foo="bar\n\t\"\\\101"', "foo", 'bar\n\t"\\A'),
    ],
)
def test_what_the_utf_8_grammar_adds(text: str, name: str, value: str) -> None:
    assert parse_matcher(text) == Matcher(name, "=", value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("foo=", '0:4: end of input: expected label value; for an empty value write ""'),
        ("foo=bar baz", '8:11: unexpected baz: expected a comma or close brace; quote the value: foo="bar baz"'),
        ("foo='bar'", "4:5: ': invalid input: expected label value; use double quotes"),
        ('foo=~"\\d+"', '5:10: "\\d+": invalid input; in quotes a backslash is written twice: \\\\'),
        ("foo==bar", "4:5: unexpected =: expected label value; a matcher has one ="),
        ("{foo=bar", "0:8: end of input: expected close brace"),
        ("foo=~a{2}", '6:7: unexpected {: expected a comma or close brace; quote the value: foo=~"a{2}"'),
    ],
)
def test_what_only_the_classic_grammar_knew_is_refused_with_what_to_write(text: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        parse_matchers(text)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (",", "0:1: unexpected ,: expected label name"),
        ("{,}", "1:2: unexpected ,: expected label name"),
        ("{", "0:1: end of input: expected close brace"),
        ("}", "0:1: }: expected opening brace"),
        ("foo=bar}", "0:8: }: expected opening brace"),
        ('{foo=:"bar"}', '6:11: unexpected "bar": expected a comma or close brace'),
        ('{foo="bar\\w"}', '5:12: "bar\\w": invalid input'),
        ("{foo=bar\\n}", "8:9: \\: invalid input: expected a comma or close brace"),
        ('{"foo"="\\xf0\\x9f"}', '7:17: "\\xf0\\x9f": invalid input'),
        ("foo", "0:3: end of input: expected an operator such as '=', '!=', '=~' or '!~'"),
        ("foo!bar", "4:5: b: expected one of '=~'"),
        ("foo!", "3:4: !: unexpected end of input, expected one of '=~'"),
        ('foo="bar', '4:8: "bar: missing end "'),
        ("a=b c=d", "4:5: unexpected c: expected a comma or close brace; separate matchers with commas"),
        ("a=b,,", "4:5: unexpected ,: expected a matcher or close brace after comma"),
        ("{a=b}}", "5:6: }: expected end of input"),
        ('""=x', '0:2: "": expected label name'),
        ('a="b\nc"', '2:7: "b\nc": invalid input'),
        ('a=~"("', "this is no regular expression as RE2 reads them: missing )"),
        ('a=~"b)|(c"', "this is no regular expression as RE2 reads them: unexpected )"),
        ('a=~"(?=b)"', "RE2 has neither look-around nor back-references"),
        ("a=\ud800", "invalid input"),
    ],
)
def test_errors_carry_a_column_and_alertmanagers_words(text: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared
        parse_matchers(text)
    assert words in str(caught.value)


def test_one_matcher_means_one() -> None:
    with pytest.raises(ValueError, match="no matchers"):
        parse_matcher("{}")
    with pytest.raises(ValueError, match="expected 1 matcher, found 2"):
        parse_matcher("a=b,c=d")


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("a=b", {"a": "b"}, True),
        ("a=b", {"a": "bb"}, False),
        ("a=b", {}, False),
        ('a=""', {}, True),
        ('a=""', {"a": ""}, True),
        ('a!=""', {}, False),
        ("a!=b", {}, True),
        ("a=~b|c", {"a": "c"}, True),
        ("a=~b|c", {"a": "xc"}, False),
        ("a=~b|c", {"a": "bx"}, False),
        ("a=~b", {"a": "b\n"}, False),
        ("a=~.*", {}, True),
        ("a=~.+", {}, False),
        ('a=~"a.c"', {"a": "a\nc"}, False),
        ("a!~b.*", {"a": "bcd"}, False),
        ("a!~b.*", {}, True),
        ('a=~"(?i)HIGH"', {"a": "high"}, True),
        ("a=~日.", {"a": "日本"}, True),
        ("a=~.*", {"a": "\ud800"}, True),
    ],
)
def test_matching_is_anchored_and_a_missing_label_is_empty(text: str, labels: dict[str, str], *, matches: bool) -> None:
    assert parse_matcher(text).matches(labels) is matches


def test_a_catastrophic_expression_stays_linear() -> None:
    assert not parse_matcher('a=~"(a+)+"').matches({"a": "a" * 50_000 + "b"})


def test_the_canonical_form_quotes_values() -> None:
    assert str(parse_matcher("{severity=~warning|critical,}")) == 'severity=~"warning|critical"'
    assert str(parse_matcher('foo.bar="a\\"b"')) == '"foo.bar"="a\\"b"'


@pytest.mark.parametrize(
    ("text", "literals"),
    [
        ("a=b", {"b"}),
        ("a=~b|c", {"b", "c"}),
        ("a=~(b|c)", {"b", "c"}),
        ("a=~b.*", None),
        ("a!=b", None),
        ("a=~b|", {"b", ""}),
    ],
)
def test_listed_values_are_known(text: str, literals: set[str] | None) -> None:
    assert parse_matcher(text).literals == literals
