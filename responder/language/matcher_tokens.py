"""The words of a matcher, as Alertmanager's lexer cuts them; columns count characters from 0, the end excluded."""

import re
from dataclasses import dataclass

# Go's unicode.IsSpace, and what an unquoted name or value cannot hold (alertmanager matcher/parse).
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_WORD = re.compile(
    rf"""
    (?P<space>[{_SPACE}]+)
  | (?P<sign>[{{}},])
  | (?P<operator>=~|!=|!~|=)
  | (?P<quoted>"(?:[^"\\]|\\.)*")
  | (?P<unquoted>[^{_SPACE}{{}}!=~,\\"'`]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:([abfnrtv\\\"])|([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|())")
_SINGLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}


@dataclass(frozen=True, slots=True)
class Token:
    """One word. ``kind`` is ``quoted``, ``unquoted``, ``invalid``, or the sign or operator itself."""

    kind: str
    text: str
    start: int
    end: int
    error: str = ""
    hint: str = ""

    @property
    def place(self) -> str:
        """``start:end``, as Alertmanager prints it."""
        return f"{self.start}:{self.end}"


def tokens_of(text: str) -> list[Token]:
    """Cut ``text`` into words; an unreadable one is ``invalid`` and the last."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        word = _WORD.match(text, at)
        if word is None:
            found.append(_invalid(text, at))
            break
        kind = word.lastgroup or ""
        if kind != "space":
            found.append(Token(kind if kind.endswith("quoted") else word[0], word[0], at, word.end()))
        at = word.end()
    return found


def unquote(token: Token) -> str:
    """The text that a word stands for, with Go's string escapes. Raises ValueError as Alertmanager says it."""
    if token.kind == "unquoted":
        return _checked(token, token.text.encode("utf-8", "surrogatepass"))
    inner = token.text[1:-1]
    parts: list[bytes] = []
    at = 0
    for escape in _ESCAPE.finditer(inner):
        parts += (inner[at : escape.start()].encode("utf-8", "surrogatepass"), _escaped(token, escape))
        at = escape.end()
    parts.append(inner[at:].encode("utf-8", "surrogatepass"))
    if "\n" in inner:
        raise ValueError(f'{token.place}: {token.text}: invalid input; write a line break as "\\n"')
    return _checked(token, b"".join(parts))


def _checked(token: Token, raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        shown = token.text.encode("utf-8", "backslashreplace").decode()
        raise ValueError(f"{token.place}: {shown}: invalid input") from error


def _escaped(token: Token, escape: "re.Match[str]") -> bytes:
    r"""What one escape stands for; Go writes bytes as octal or ``\x``, characters as ``\u`` or ``\U``."""
    single, octal, byte, short, long = escape.groups()[:5]
    if single:
        return _SINGLE[single].encode()
    if octal and int(octal, 8) <= 0xFF:  # noqa: PLR2004 - a byte
        return bytes((int(octal, 8),))
    if byte:
        return bytes((int(byte, 16),))
    if short or long:
        number = int(short or long, 16)
        if number <= 0x10FFFF:  # noqa: PLR2004 - the last character of Unicode
            return chr(number).encode("utf-8", "surrogatepass")
    raise ValueError(f"{token.place}: {token.text}: invalid input; in quotes a backslash is written twice: \\\\")


def _invalid(text: str, at: int) -> Token:
    """The word that cannot be read, in Alertmanager's words."""
    character = text[at]
    if character == '"':
        return Token("invalid", text[at:], at, len(text), 'missing end "', "; close the quote")
    if character == "!":
        if at + 1 >= len(text):
            return Token("invalid", "!", at, at + 1, "unexpected end of input, expected one of '=~'")
        return Token("invalid", text[at + 1], at + 1, at + 2, "expected one of '=~'", "; write != or !~")
    hints = {"'": "; use double quotes", "`": "; use double quotes", "\\": "; put the value in double quotes"}
    return Token("invalid", character, at, at + 1, "invalid input", hints.get(character, ""))
