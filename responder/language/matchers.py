"""Alertmanager's matchers: ``alertname="High"``, ``severity=~"warning|critical"``, ``namespace!~"kube-.*"``.

The grammar is Alertmanager's UTF-8 one (0.27 and later), its errors are worded like Alertmanager's, followed by what to
write instead. Regular expressions are RE2's and anchored at both ends; a missing label is the same as an empty one.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

import re2

from responder.language.matcher_tokens import Token, tokens_of, unquote

Op = Literal["=", "!=", "=~", "!~"]

_OPS = frozenset({"=", "!=", "=~", "!~"})
_PLAIN_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LITERALS = re.compile(r"[^\\.+*?()|\[\]{}^$]*(?:\|[^\\.+*?()|\[\]{}^$]*)*")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_TO_ESCAPE = re.compile(r'[\\"\x00-\x1f\x7f]')
_QUIET = re2.Options()
_QUIET.log_errors = False


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label."""

    name: str
    op: Op
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether ``labels`` satisfy this. Raises ValueError for a regular expression that RE2 refuses."""
        value = labels.get(self.name, "")
        if self.op == "=":
            return value == self.value
        if self.op == "!=":
            return value != self.value
        return searcher(self.value)(value) == (self.op == "=~")

    @property
    def negative(self) -> bool:
        """Whether it names what must not be there."""
        return self.op in {"!=", "!~"}

    @property
    def literals(self) -> frozenset[str] | None:
        """The values that a positive matcher accepts when they can be listed, else None."""
        if self.op == "=":
            return frozenset((self.value,))
        if self.op == "=~":
            inner = self.value
            if inner.startswith("(") and inner.endswith(")"):
                inner = inner[1:-1].removeprefix("?:")
            if _LITERALS.fullmatch(inner):
                return frozenset(inner.split("|"))
        return None

    def __str__(self) -> str:
        """The canonical form, which parses to the same matcher."""
        name = self.name if _PLAIN_NAME.fullmatch(self.name) else _quoted(self.name)
        return f"{name}{self.op}{_quoted(self.value)}"


def parse_matcher(text: str) -> Matcher:
    """Read exactly one matcher. Raises ValueError with a column and Alertmanager's words."""
    found = parse_matchers(text)
    if not found:
        raise ValueError('no matchers; write one like severity="critical"')
    if len(found) > 1:
        raise ValueError(f"expected 1 matcher, found {len(found)}; write each on its own line")
    return found[0]


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Read any number of matchers, separated by commas, optionally in braces.

    Raises ValueError with a column and Alertmanager's words.
    """
    return tuple(_Parser(text).parse())


_AS_ITSELF = "a sign such as ( or + that is meant as itself has a \\ before it"


@lru_cache(maxsize=8192)
def searcher(value: str) -> Callable[[str], bool]:
    """The anchored regular expression as a function of a label's value. Raises ValueError when RE2 refuses it."""
    pattern = _compiled(f"^(?:{value})$")

    def found(text: str) -> bool:
        # Bytes: a lone surrogate in a label must not raise.
        return pattern.search(text.encode("utf-8", "surrogatepass")) is not None

    return found


def _compiled(pattern: str) -> "re2._Regexp[str]":
    try:
        return re2.compile(pattern, _QUIET)
    except (re2.error, UnicodeEncodeError) as error:
        words = error.args[0] if error.args else error
        said = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
        has_not = "perl operator" in said or "escape" in said
        mend = "RE2 has neither look-around nor back-references" if has_not else _AS_ITSELF
        raise ValueError(f"this is no regular expression as RE2 reads them: {said}; {mend}") from error


def _quoted(text: str) -> str:
    return '"' + _TO_ESCAPE.sub(lambda found: _ESCAPES.get(found[0], f"\\x{ord(found[0]):02x}"), text) + '"'


class _Parser:
    """Reads ``[{] matcher [, matcher]… [,] [}]``."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens_of(text)
        self._next = 0

    def parse(self) -> list[Matcher]:
        """All matchers. Raises ValueError."""
        opened = self._accept("{")
        found: list[Matcher] = []
        while (token := self._peek()) is not None and token.kind != "}":
            found.append(self._matcher())
            if self._peek() is None or not self._accept(","):
                break
            after = self._peek()
            if after is not None and after.kind not in {"}", "quoted", "unquoted"}:
                raise self._unexpected(after, "expected a matcher or close brace after comma")
        self._end(opened=opened, found=found)
        return found

    def _matcher(self) -> Matcher:
        name_token = self._expect({"quoted", "unquoted"}, "expected label name")
        operator = self._expect(_OPS, "expected an operator such as '=', '!=', '=~' or '!~'")
        value_token = self._expect({"quoted", "unquoted"}, "expected label value")
        name, value = unquote(name_token), unquote(value_token)
        if not name:
            raise ValueError(f"{name_token.place}: {name_token.text}: expected label name")
        op = cast("Op", operator.kind)
        if op in {"=~", "!~"}:
            # Alone, too: `a)|(b` would slip out of the anchors.
            _compiled(value)
            searcher(value)
        return Matcher(name, op, value)

    def _end(self, *, opened: bool, found: list[Matcher]) -> None:
        token = self._peek()
        end = len(self._text)
        if token is not None and token.kind == "}":
            self._next += 1
            if not opened:
                raise ValueError(f"0:{token.end}: }}: expected opening brace")
            token = self._peek()
            if token is not None:
                raise ValueError(f"{token.place}: {token.text}: expected end of input")
            return
        if token is not None:
            raise self._unexpected(token, "expected a comma or close brace", self._hint(found))
        if opened:
            raise ValueError(f"0:{end}: end of input: expected close brace")

    def _hint(self, found: list[Matcher]) -> str:
        """After a complete matcher something follows: most often the rest of a value that needs quotes."""
        if not found:
            return ""
        value_token = self._tokens[self._next - 1]
        if value_token.kind != "unquoted" or any(token.kind in _OPS for token in self._tokens[self._next :]):
            return "; separate matchers with commas"
        rest = self._text[value_token.start :].rstrip()
        if self._text.lstrip().startswith("{"):
            rest = rest.removesuffix("}").rstrip()
        return f"; quote the value: {Matcher(found[-1].name, found[-1].op, rest)}"

    def _expect(self, kinds: "set[str] | frozenset[str]", expected: str) -> Token:
        token = self._peek()
        if token is None:
            hint = '; for an empty value write ""' if "value" in expected else ""
            raise ValueError(f"0:{len(self._text)}: end of input: {expected}{hint}")
        if token.kind not in kinds:
            hint = "; a matcher has one =" if "value" in expected and token.kind in _OPS else ""
            raise self._unexpected(token, expected, hint)
        self._next += 1
        return token

    def _accept(self, kind: str) -> bool:
        token = self._peek()
        if token is None or token.kind != kind:
            return False
        self._next += 1
        return True

    def _peek(self) -> Token | None:
        if self._next >= len(self._tokens):
            return None
        token = self._tokens[self._next]
        if token.kind == "invalid":
            raise ValueError(f"{token.place}: {token.text}: {token.error}{self._while()}{token.hint}")
        return token

    def _while(self) -> str:
        """What the parser was waiting for when the input became unreadable."""
        before = self._tokens[self._next - 1].kind if self._next else ","
        if before in _OPS:
            return ": expected label value"
        if before in {"{", ","}:
            return ": expected label name"
        if self._next >= 2 and self._tokens[self._next - 2].kind in _OPS:  # noqa: PLR2004 - name, operator, value
            return ": expected a comma or close brace"
        return ": expected an operator such as '=', '!=', '=~' or '!~'"

    @staticmethod
    def _unexpected(token: Token, expected: str, hint: str = "") -> ValueError:
        return ValueError(f"{token.place}: unexpected {token.text}: {expected}{hint}")
