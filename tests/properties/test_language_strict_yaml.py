"""Whatever the bytes, strict YAML answers with data or with complaints."""

import json
import math

import yaml
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.errors import PlaybookError
from responder.language.strict_yaml import load, load_bytes

SNIPPETS = st.sampled_from(
    [
        *(
            "a: ",
            "- ",
            "? ",
            "<<: ",
            "key",
            "1",
            ".nan",
            "---",
            "...",
            ": ",
            ":",
            ",",
            "{",
            "}",
            "[",
            "]",
            "{{ ",
            " }}",
        ),
        *(
            "\n",
            "\n  ",
            "\t",
            '"',
            "'",
            "|",
            ">",
            "@",
            "`",
            "%",
            "&a",
            "*a",
            "!t",
            "#x",
            " #",
            "\\",
            "\x85",
            "\u2028",
            "日",
        ),
    ]
)
DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=20), inner, max_size=4),
    max_leaves=20,
)


@given(st.binary(max_size=400))
def test_any_bytes_are_data_or_complaints(data: bytes) -> None:
    outcome(data)


@given(st.lists(SNIPPETS, max_size=40).map("".join))
def test_anything_that_looks_like_yaml_is_data_or_complaints(text: str) -> None:
    outcome(text.encode())


@given(st.text(max_size=200))
def test_any_text_is_data_or_complaints(text: str) -> None:
    try:
        load(text, "f")
    except PlaybookError as error:
        check(error)


@given(DATA)
def test_what_json_writes_is_read_back(data: object) -> None:
    text = json.dumps(data, ensure_ascii=True)
    if "\\ud" in text:  # JSON escapes beyond the first plane as surrogates, which YAML does not join
        return
    assert same(load(text, "f").data, data)


@given(DATA)
def test_what_a_yaml_writer_quotes_is_read_back(data: object) -> None:
    text = yaml.dump(data, Dumper=NoAliases, default_style='"', allow_unicode=True)
    if "!!" in text:
        return
    assert same(load(text, "f").data, data)


class NoAliases(yaml.SafeDumper):
    """Writes equal objects twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def same(left: object, right: object) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=0)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right


def check(error: PlaybookError) -> None:
    """Each complaint says what is wrong, and where."""
    for complaint in error.complaints:
        assert min(complaint.line, complaint.column, complaint.width) >= 1
        assert complaint.rule
        assert complaint.message


def outcome(data: bytes) -> None:
    """Load, and walk to every place if it loads."""
    try:
        document = load_bytes(data, "f")
    except PlaybookError as error:
        check(error)
        return
    walk: list[tuple[tuple[str | int, ...], object]] = [((), document.data)]
    while walk:
        path, value = walk.pop()
        mark = document.mark(path)
        assert 1 <= mark.line <= len(document.lines)
        assert document.complain(path, "m", "r", key=True).line >= 1
        if isinstance(value, dict):
            walk += [((*path, key), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            walk += [((*path, index), inner) for index, inner in enumerate(value)]
