"""Strict YAML: plain data with positions, or complaints that a person can act on."""

import time

import pytest

from responder.domain.errors import Complaint, PlaybookError
from responder.language.strict_yaml import Mark, load, load_bytes

PLAYBOOK = """\
schema: 1
name: scale-out
matchers:
  - alertname="High"
  - 'severity=~"a|b"'
limits:
  blast_radius: { share: 20%, of: owner }
steps:
  - id: scale
    kubernetes.scale: { by: 2, max: 10 }
empty:
text: |
  one
  two
"""


def complaints(text: str) -> tuple[Complaint, ...]:
    with pytest.raises(PlaybookError) as caught:
        load(text, "playbook.yaml")
    return caught.value.complaints


def test_a_playbook_becomes_plain_data() -> None:
    assert load(PLAYBOOK, "p.yaml").data == {
        "schema": 1,
        "name": "scale-out",
        "matchers": ['alertname="High"', 'severity=~"a|b"'],
        "limits": {"blast_radius": {"share": "20%", "of": "owner"}},
        "steps": [{"id": "scale", "kubernetes.scale": {"by": 2, "max": 10}}],
        "empty": None,
        "text": "one\ntwo\n",
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("=", "="),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("-12", -12),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ('"5"', "5"),
        ("'on'", "on"),
        ("5%", "5%"),
        ("-", [None]),
    ],
)
def test_plain_values_follow_yaml_1_2(text: str, value: object) -> None:
    prefix = "k:\n  " if text == "-" else "k: "
    assert load(prefix + text + "\n", "p.yaml").data == {"k": value}
    loaded = load(prefix + text + "\n", "p.yaml").data
    assert isinstance(loaded, dict)
    assert type(loaded["k"]) is type(value)


def test_keys_are_text_as_written() -> None:
    assert load("on: 1\n2: x\ntrue: y\n", "p.yaml").data == {"on": 1, "2": "x", "true": "y"}


def test_every_value_and_key_knows_its_place() -> None:
    document = load(PLAYBOOK, "p.yaml")
    assert document.mark(("name",)) == Mark(2, 7, 9)
    assert document.key_mark(("name",)) == Mark(2, 1, 4)
    assert document.mark(("matchers", 1)) == Mark(5, 5, 17)
    assert document.mark(("limits", "blast_radius")) == Mark(7, 17, 25)
    assert document.mark(("limits", "blast_radius", "share")) == Mark(7, 26, 3)
    assert document.key_mark(("steps", 0, "kubernetes.scale")) == Mark(10, 5, 16)
    assert document.mark(()) == Mark(1, 1, 1)


def test_an_unknown_place_falls_back_to_the_nearest_known_one() -> None:
    document = load(PLAYBOOK, "p.yaml")
    assert document.mark(("steps", 0, "missing", 3)) == document.mark(("steps", 0))
    assert document.key_mark(("limits", "unknown")) == document.key_mark(("limits",))
    assert document.mark(("steps", 7)) == document.mark(("steps",))
    assert document.mark(("name", "deeper")) == document.mark(("name",))
    assert load("", "p.yaml").mark(("a", 1)) == Mark(1, 1, 1)


def test_a_complaint_carries_the_line_and_the_place() -> None:
    complaint = load(PLAYBOOK, "p.yaml").complain(("limits", "blast_radius", "of"), "no such scope", "scope", "try x")
    assert str(complaint) == "p.yaml:7:35: error: no such scope [scope]"
    assert complaint.source_line == "  blast_radius: { share: 20%, of: owner }"
    assert (complaint.width, complaint.hint) == (5, "try x")
    at_key = load(PLAYBOOK, "p.yaml").complain(("limits", "blast_radius"), "m", "r", key=True)
    assert (at_key.line, at_key.column, at_key.width) == (7, 3, 12)


@pytest.mark.parametrize(
    ("text", "place", "rule", "hint"),
    [
        ("target: {{ labels.x }}\n", (1, 9), "yaml-unquoted-template", 'quote this: "{{ labels.x }}"'),
        ("target: {{ labels.x }}/foo\n", (1, 9), "yaml-unquoted-template", 'quote this: "{{ labels.x }}/foo"'),
        ("a: {{ x | default('b') }}  # why\n", (1, 4), "yaml-unquoted-template", "{{ x | default('b') }}\""),
        ('a: {{ x | default("a: b") }}\n', (1, 4), "yaml-unquoted-template", "quote this: '{{ x | default"),
        ("a: { b: {{ x }} }\n", (1, 9), "yaml-unquoted-template", 'quote this: "{{ x }}"'),
        ("a: { b: x/{{ y }}, c: 1 }\n", (1, 9), "yaml-unquoted-template", 'quote this: "x/{{ y }}"'),
        ("- a\n- {{ x }}\n", (2, 3), "yaml-unquoted-template", 'quote this: "{{ x }}"'),
        ("[ a, {{ x }} ]\n", (1, 6), "yaml-unquoted-template", 'quote this: "{{ x }}"'),
        ("slack: #alerts\n", (1, 8), "yaml-comment-value", 'quote this: "#alerts"'),
        ("- #alerts\n", (1, 3), "yaml-comment-value", 'quote this: "#alerts"'),
        ("n: { slack: #alerts, b: 1 }\nc: d\n", (1, 13), "yaml-comment-value", 'quote this: "#alerts"'),
        ("from: @oncall\n", (1, 7), "yaml-at-sign", 'quote this: "@oncall"'),
        ("from: [ @oncall, b ]\n", (1, 9), "yaml-at-sign", 'quote this: "@oncall"'),
        ("a: `date`\n", (1, 4), "yaml-backtick", 'quote this: "`date`"'),
        ("a: %5\n", (1, 4), "yaml-percent", 'quote this: "%5"'),
        ("a:\n\tb: 1\n", (2, 1), "yaml-tab", "use spaces"),
        ("a: { query: sum by (x,y) (z), above: 1 }\n", (1, 22), "yaml-flow-comma", "quote the whole value"),
        ('m: [ foo=~"a,b" ]\n', (1, 13), "yaml-flow-comma", "quote the whole value"),
        ('a: { query: up{job="x"}, above: 1 }\n', (1, 15), "yaml-flow-brace", "block style"),
        ("a: [ rate(x[5m]) ]\n", (1, 12), "yaml-flow-brace", "block style"),
        ("a: 1\nb:2\nc: 3\n", (2, 1), "yaml-missing-space", "write b: "),
        ("name:foo\n", (1, 1), "yaml-missing-space", "write name: "),
        ("a: { share:20% }\n", (1, 6), "yaml-missing-space", "write share: "),
        ("limits:\n  per_target:3\n", (2, 3), "yaml-missing-space", "write per_target: "),
        ("- a\n-b\n- c\n", (2, 1), "yaml-missing-space", "write - item"),
        ("a: b: c\n", (1, 4), "yaml-colon-in-value", 'quote this: "b: c"'),
        ('a: "x\nb: 1\n', (1, 4), "yaml-unclosed-quote", "close it"),
        ('a: "\\d+"\n', (1, 5), "yaml-escape", "single quotes"),
        ('- "a"="b"\n', (1, 6), "yaml-text-after-quote", 'quote this: \'"a"="b"\''),
        ("a: 'it's'\n", (1, 8), "yaml-text-after-quote", 'quote this: "it\'s"'),
        ("a: - b\n", (1, 4), "yaml-dash", "next line"),
        ("a: [1, 2\nb: 3\n", (1, 4), "yaml-unclosed-bracket", "close it with ]"),
        ("a: >5\n", (1, 4), "yaml-block-indicator", 'quote this: ">5"'),
        ("a: |x\n", (1, 4), "yaml-block-indicator", 'quote this: "|x"'),
        ("a:\n  b: 1\n c: 2\n", (3, 2), "yaml-indentation", "indent"),
        ("a: 1\n  b: 2\n", (2, 4), "yaml-indentation", "line it up"),
        ("a: &b 1\n", (1, 4), "yaml-anchor", ""),
        ("a: *b\n", (1, 4), "yaml-alias", ""),
        ("a: *.example.com\n", (1, 4), "yaml-alias", 'quote this: "*.example.com"'),
        ("<<: { a: 1 }\n", (1, 1), "yaml-merge-key", ""),
        ("a: !!str 5\n", (1, 4), "yaml-tag", ""),
        ("a: !x\n", (1, 4), "yaml-tag", ""),
        ("a: 1\nb: 2\na: 3\n", (3, 1), "yaml-duplicate-key", ""),
        ("a: { b: 1, b: 2 }\n", (1, 12), "yaml-duplicate-key", ""),
        ("a: 1\n---\nb: 2\n", (2, 1), "yaml-documents", ""),
        ("? [a]\n: b\n", (1, 3), "yaml-complex-key", ""),
        (": b\n", (1, 1), "yaml-empty-key", ""),
        ("? \n: b\n", (1, 2), "yaml-empty-key", ""),
        ("{ : b }\n", (1, 3), "yaml-empty-key", ""),
        ("a: .nan\n", (1, 4), "yaml-number", 'quote this: ".nan"'),
        ("a: -.Inf\n", (1, 4), "yaml-number", ""),
        ("a: 1e999\n", (1, 4), "yaml-number", ""),
        ("a: 99999999999999999999\n", (1, 4), "yaml-number", ""),
        ("a: b\x00c\n", (1, 5), "yaml-control-character", ""),
        ("a: b\ud800\n", (1, 5), "yaml-control-character", ""),
    ],
)
def test_each_trap_has_its_own_words(text: str, place: tuple[int, int], rule: str, hint: str) -> None:
    first = complaints(text)[0]
    assert first.rule == rule
    assert (first.line, first.column) == place
    assert hint in first.hint
    assert first.source_line.startswith(text.splitlines()[place[0] - 1][: place[1] - 1])


def test_a_duplicate_key_names_the_first_place() -> None:
    assert "first on line 1" in complaints("a: 1\nb: 2\na: 3\n")[0].message


def test_several_complaints_come_together_and_in_file_order() -> None:
    found = complaints("a: 1\na: 2\nslack: #x\nn: .nan\nz: @y\n")
    assert [complaint.rule for complaint in found] == [
        "yaml-duplicate-key",
        "yaml-comment-value",
        "yaml-number",
        "yaml-at-sign",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "limits: #see the wiki\n  per_target: 1\n",
        "timeout: # five minutes would do\n",
        "a: x #y\n",
        "a: kubectl -n {{ labels.ns }} get pods\n",
        "query:\n  job:errors:rate5m\n",
        'from: [ role:operator, "slack:@oncall" ]\n',
        "url: http://x/y\n",
        "---\na: 1\n",
        "\ufeffa: 1\n",
        "a: 'it''s'\n",
        'matchers: [ a="b", c=~"d|e" ]\n',
        "a: { b: , c: 1 }\n",
    ],
)
def test_what_only_looks_like_a_trap_is_accepted(text: str) -> None:
    load(text, "p.yaml")


def test_nesting_size_and_count_are_bounded() -> None:
    assert complaints("[" * 100_000)[0].rule == "yaml-too-deep"
    assert complaints("- " * 50_000 + "a")[0].rule == "yaml-too-deep"
    assert complaints("a: " + "x" * 262_144)[0].rule == "yaml-too-large"
    assert complaints("a: " + "日" * 90_000)[0].rule == "yaml-too-large"
    assert complaints("- a\n" * 20_001)[0].rule == "yaml-too-many"
    nested = "".join("  " * level + f"k{level}:\n" for level in range(31)) + "  " * 31 + "x: 1\n"
    load(nested, "p.yaml")


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    started = time.perf_counter()
    assert {complaint.rule for complaint in complaints(bomb)} == {"yaml-anchor", "yaml-alias"}
    assert time.perf_counter() - started < 1


def test_bytes_that_are_not_utf_8_are_refused_with_their_place() -> None:
    with pytest.raises(PlaybookError) as caught:
        load_bytes("a: 1\nb: ü".encode("latin-1"), "p.yaml")
    assert caught.value.first.rule == "yaml-encoding"
    assert (caught.value.first.line, caught.value.first.column) == (2, 4)
    with pytest.raises(PlaybookError, match="larger than 256 KiB"):
        load_bytes(b"x" * 300_000, "p.yaml")
    assert load_bytes("a: ü".encode(), "p.yaml").data == {"a": "ü"}


def test_thirty_playbooks_load_within_the_blink_of_an_eye() -> None:
    text = PLAYBOOK + "".join(f"key{number}: {{ a: {number}, b: text }}\n" for number in range(30))
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(30):
            load(text, "p.yaml")
        best = min(best, time.perf_counter() - started)
    assert best < 0.1  # measured at 0.01; room for a busy machine
