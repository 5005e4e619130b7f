"""The traps of YAML, each told apart by what stands in the source and explained in its own words.

libyaml says what it expected; a person wants to know what to write. This module translates.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import yaml

_LINE_BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|(?<![\w])\'(?:[^\']|\'\')*\'')
_COMMENT_AS_VALUE = re.compile(r"(?:^\s*-|[:,\[{])\s+(#[^\s#][^\s,}\]]*)")
# The alternatives exclude each other, so matching stays linear.
_FLOW_VALUE = re.compile(r"(?:[^,{}\[\]]|\{\{[^{}]*\}\})*")
_COMMENT = re.compile(r"\s#.*$")
_KEY_WITHOUT_SPACE = re.compile(r"\s*(?:- +)*([A-Za-z_][\w.-]*):(?!//)[^\s:]")
_DASH_WITHOUT_SPACE = re.compile(r"\s*-[^\s-]")
_KEY_BEFORE = re.compile(r"\s*(?:- +)*[\w.\"'-]+:\s+")
_LONGEST_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Trap:
    """What went wrong, where (line and column from 0) and what to write instead."""

    line: int
    column: int
    message: str
    rule: str
    hint: str = ""
    width: int = 1


def split_lines(text: str) -> list[str]:
    """Split where libyaml does, so that its line numbers fit."""
    return _LINE_BREAK.split(text)


def quoted(value: str) -> str:
    """``value`` as a YAML string: in double quotes, or in single ones when it holds quotes or backslashes."""
    if '"' in value or "\\" in value:
        return "'" + value.replace("'", "''") + "'"
    return f'"{value}"'


def value_at(line: str, column: int, *, flow: bool) -> str:
    """What its writer meant as one value at ``column``: the rest of the line, or in a flow up to its end."""
    rest = line[column:]
    if flow:
        value = _FLOW_VALUE.match(rest)
        return value[0].strip() if value and value[0].strip() else rest.rstrip()
    return _COMMENT.sub("", rest).strip()


def quote_hint(value: str) -> str:
    """``quote this: "…"``, unless the value is too long to repeat."""
    return f"quote this: {quoted(value)}" if 0 < len(value) <= _LONGEST_SHOWN else "put the whole value in quotes"


def template_trap(line: str, at: tuple[int, int], *, flow: bool) -> Trap:
    """An unquoted ``{{ … }}`` at the start of a value, which YAML reads as a mapping in a mapping."""
    value = value_at(line, at[1], flow=flow)
    message = "a value that starts with {{ must be quoted, or YAML reads it as a mapping"
    return Trap(*at, message, "yaml-unquoted-template", quote_hint(value), max(len(value), 2))


def comment_trap(line: str, at: tuple[int, int]) -> Trap | None:
    """An empty value with ``#word`` behind it: a channel that became a comment. ``at`` is where the value would be."""
    rest = line[at[1] :]
    word = rest.strip().removeprefix(":").strip()
    if not word.startswith("#") or len(word) == 1 or word[1] in "# \t":
        return None
    column = at[1] + rest.index("#")
    value = word.split()[0]
    return _comment_trap(at[0], column, value)


def _comment_trap(line: int, column: int, value: str) -> Trap:
    message = f"{value} became a comment, so this value is empty"
    return Trap(line, column, message, "yaml-comment-value", quote_hint(value), len(value))


def diagnose(lines: Sequence[str], error: yaml.YAMLError) -> Trap:
    """Say in a person's words what libyaml stumbled over."""
    problem = str(getattr(error, "problem", None) or error)
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return Trap(0, 0, f"this is not YAML: {problem}", "yaml-syntax")
    # At the end of the input libyaml points past the last line.
    at: tuple[int, int] = (mark.line, mark.column) if mark.line < len(lines) else (len(lines) - 1, len(lines[-1]))
    context = getattr(error, "context_mark", None)
    start = (min(context.line, at[0]), context.column) if context is not None else at
    scene = _Scene(lines, problem, str(getattr(error, "context", None) or ""), at, start)
    for recognise in _RECOGNISERS:
        trap = recognise(scene)
        if trap is not None:
            return trap
    while_doing = f" {scene.context}" if scene.context else ""
    return Trap(*at, f"this is not YAML:{while_doing} {problem}".replace("  ", " "), "yaml-syntax")


@dataclass(frozen=True, slots=True)
class _Scene:
    """A parse error with its surroundings: ``at`` is where libyaml stopped, ``start`` where that construct began."""

    lines: Sequence[str]
    problem: str
    context: str
    at: tuple[int, int]
    start: tuple[int, int]

    @property
    def line(self) -> str:
        return self.lines[self.at[0]]

    @property
    def character(self) -> str:
        return self.line[self.at[1] : self.at[1] + 1]

    @property
    def in_flow(self) -> bool:
        return "flow" in self.context

    def value_of_line(self, number: int) -> tuple[int, str]:
        """The column and text of the value on a ``key: value`` or ``- value`` line."""
        line = self.lines[number]
        key = _KEY_BEFORE.match(line) or re.match(r"\s*(?:- +)*", line)
        column = key.end() if key else 0
        return column, value_at(line, column, flow=False)


def _tab(scene: _Scene) -> Trap | None:
    if "tab character" not in scene.problem:
        return None
    return Trap(*scene.at, "a tab cannot indent YAML", "yaml-tab", "use spaces")


def _forbidden_start(scene: _Scene) -> Trap | None:
    if "cannot start any token" not in scene.problem:
        return None
    starts = {
        "@": ("a value cannot start with @", "yaml-at-sign"),
        "`": ("a value cannot start with a backtick", "yaml-backtick"),
        "%": ("a value cannot start with %", "yaml-percent"),
    }
    if scene.character in starts:
        message, rule = starts[scene.character]
        value = value_at(scene.line, scene.at[1], flow=False).split(",")[0].rstrip(" ]}")
        return Trap(*scene.at, message, rule, quote_hint(value), len(value))
    if scene.character == "\t":
        return Trap(*scene.at, "a tab cannot indent YAML", "yaml-tab", "use spaces")
    return None


def _directive(scene: _Scene) -> Trap | None:
    if "directive" not in scene.context and "directive" not in scene.problem:
        return None
    return Trap(*scene.start, "a line cannot start with %", "yaml-percent", "put the value in quotes")


def _unclosed_quote(scene: _Scene) -> Trap | None:
    if "quoted scalar" not in scene.context:
        return None
    if "escape" in scene.problem or "hexdecimal" in scene.problem or "Unicode" in scene.problem:
        message = "in double quotes a backslash starts an escape, and this one is unknown"
        return Trap(*scene.at, message, "yaml-escape", "use single quotes, where a backslash is a backslash")
    return Trap(*scene.start, "this quote is never closed", "yaml-unclosed-quote", "close it on the same line")


def _hidden_comment(scene: _Scene) -> Trap | None:
    for number in range(scene.start[0], scene.at[0] + 1):
        found = _COMMENT_AS_VALUE.search(_masked(scene.lines[number]))
        if found:
            return _comment_trap(number, found.start(1), found[1])
    return None


def _template(scene: _Scene) -> Trap | None:
    for number in sorted({scene.at[0], scene.start[0]}, reverse=True):
        found = _masked(scene.lines[number]).find("{{")
        if found < 0 or (number == scene.at[0] and found > scene.at[1] + 1):
            continue
        column, value = scene.value_of_line(number)
        if column > found or value.startswith(("{ ", "[")) or (value[:1] == "{" and value[:2] != "{{"):
            # Within a flow: the value is what stands between its neighbours.
            before = max(scene.lines[number].rfind(sign, 0, found) for sign in (" ", ",", "[", ": "))
            column = before + 1 if before >= 0 else found
            value = value_at(scene.lines[number], column, flow=True)
        message = "a value with {{ in it must be quoted here, or YAML reads it as a mapping"
        return Trap(number, column, message, "yaml-unquoted-template", quote_hint(value), max(len(value), 2))
    return None


def _no_key(scene: _Scene) -> Trap | None:
    if scene.character != ":" or scene.line[: scene.at[1]].rstrip(" ")[-1:] not in {"", "{", "[", ",", "-"}:
        return None
    return Trap(*scene.at, "there is no key before this colon", "yaml-empty-key")


def _colon(scene: _Scene) -> Trap | None:
    if "mapping values are not allowed" not in scene.problem:
        return None
    column, value = scene.value_of_line(scene.at[0])
    if 0 < column <= scene.at[1] and value:
        message = "a value with a colon and a space in it must be quoted"
        return Trap(scene.at[0], column, message, "yaml-colon-in-value", quote_hint(value), len(value))
    message = "this key is indented deeper than the line above allows"
    return Trap(*scene.at, message, "yaml-indentation", "line it up with the keys it belongs to")


def _missing_space(scene: _Scene) -> Trap | None:
    if "could not find expected ':'" not in scene.problem:
        return None
    number, column = scene.start
    line = scene.lines[number]
    key = _KEY_WITHOUT_SPACE.match(line)
    if key:
        return missing_space_trap(number, key.start(1), key[1], value_at(line, key.end(1) + 1, flow=False))
    if _DASH_WITHOUT_SPACE.match(line):
        return Trap(number, line.index("-"), "a dash needs a space behind it", "yaml-missing-space", "write - item")
    message = "this line is neither a key with a value nor an item of a list"
    return Trap(number, column, message, "yaml-syntax", "write key: value, or - item", max(len(line.strip()), 1))


def missing_space_trap(line: int, column: int, key: str, value: str = "") -> Trap:
    """``key:value``, which YAML reads as one word."""
    message = f"{key}: needs a space behind its colon"
    shown = 0 < len(value) <= _LONGEST_SHOWN
    hint = f"write {key}: {value}" if shown else f"write {key}: and then the value"
    return Trap(line, column, message, "yaml-missing-space", hint, len(key) + 1)


def _text_after_quote(scene: _Scene) -> Trap | None:
    before = scene.line[: scene.at[1]].rstrip()
    if "did not find expected" not in scene.problem or not before.endswith(('"', "'")):
        return None
    column, value = scene.value_of_line(scene.at[0])
    hint = "put the whole value in one pair of quotes"
    if not scene.in_flow and column < scene.at[1] and len(value) <= _LONGEST_SHOWN:
        inner = value[1:-1] if value[:1] == value[-1:] == "'" else value
        hint = quote_hint(inner)
    return Trap(*scene.at, "there is text behind a closing quote", "yaml-text-after-quote", hint)


def _broken_flow(scene: _Scene) -> Trap | None:
    if not scene.in_flow and "flow" not in scene.problem:
        return None
    if scene.at[0] == scene.start[0] and scene.character in {"{", "["}:
        message = f"{scene.character} inside a short {{ … }} or [ … ] form must be quoted"
        hint = "put the whole value in quotes, or write it in block style: one key a line"
        return Trap(*scene.at, message, "yaml-flow-brace", hint)
    opened = scene.lines[scene.start[0]][scene.start[1] : scene.start[1] + 1]
    if (scene.at[0] > scene.start[0] or not scene.character) and opened in {"{", "["}:
        closing = "}" if opened == "{" else "]"
        return Trap(*scene.start, f"this {opened} is never closed", "yaml-unclosed-bracket", f"close it with {closing}")
    hint = "put values with commas, colons, braces or quotes in quotes"
    return Trap(*scene.at, "this short form { … } or [ … ] is broken here", "yaml-flow", hint)


def _dash(scene: _Scene) -> Trap | None:
    if "block sequence entries are not allowed" not in scene.problem:
        return None
    return Trap(
        *scene.at, "a list cannot start on its key's line", "yaml-dash", "start it on the next line, or quote the value"
    )


def _block_scalar(scene: _Scene) -> Trap | None:
    if "block scalar" not in scene.context:
        return None
    return block_scalar_trap(scene.start, scene.lines[scene.start[0]])


def block_scalar_trap(at: tuple[int, int], line: str) -> Trap:
    """A value that starts with ``>`` or ``|`` and is no text block."""
    value = value_at(line, at[1], flow=False)
    message = "a value that starts with > or | begins a block of text on the next lines"
    return Trap(*at, message, "yaml-block-indicator", quote_hint(value), max(len(value), 1))


def _sign(scene: _Scene) -> Trap | None:
    for word, sign, rule in (("alias", "*", "yaml-alias"), ("anchor", "&", "yaml-anchor"), ("tag", "!", "yaml-tag")):
        if word in scene.context:
            return sign_trap(scene.start, scene.lines[scene.start[0]], sign, rule)
    return None


def sign_trap(at: tuple[int, int], line: str, sign: str, rule: str) -> Trap:
    """An alias, an anchor or a tag: each file says everything in place."""
    words = {"*": "aliases (*name)", "&": "anchors (&name)", "!": "tags (!name)"}
    value = value_at(line, at[1], flow=False).split(",")[0].rstrip(" ]}")
    hint = quote_hint(value) + ", if it is a value" if line[at[1] : at[1] + 1] == sign else ""
    return Trap(*at, f"{words[sign]} are refused: every value is written out", rule, hint, max(len(value), 1))


def _indentation(scene: _Scene) -> Trap | None:
    if "did not find expected key" not in scene.problem and "expected '-' indicator" not in scene.problem:
        return None
    before = scene.line[: scene.at[1]]
    if before.strip():
        return Trap(
            *scene.at, "there is text where the value had ended", "yaml-syntax", "put the whole value in quotes"
        )
    message = "this line does not line up with anything above it"
    return Trap(*scene.at, message, "yaml-indentation", "indent it exactly as its neighbours")


def _content(scene: _Scene) -> Trap | None:
    if "did not find expected node content" not in scene.problem:
        return None
    if scene.character in {",", "]", "}"}:
        message = f"there is no value before this {scene.character}"
        return Trap(*scene.at, message, "yaml-syntax", "put a value with commas or brackets in quotes")
    return Trap(*scene.at, "the file ends in the middle of a value", "yaml-unclosed-bracket", "close every { and [")


def _masked(line: str) -> str:
    """``line`` with its quoted parts blanked out, of the same length."""
    return _QUOTED.sub(lambda part: "\0" * len(part[0]), line)


# From the most telling to the most general.
_RECOGNISERS: tuple[Callable[[_Scene], Trap | None], ...] = (
    _tab,
    _forbidden_start,
    _directive,
    _unclosed_quote,
    _sign,
    _block_scalar,
    _hidden_comment,
    _template,
    _dash,
    _no_key,
    _colon,
    _missing_space,
    _text_after_quote,
    _content,
    _broken_flow,
    _indentation,
)
