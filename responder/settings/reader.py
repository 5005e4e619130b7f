"""Reading a strict YAML document key by key: each value is asked for by its kind, and what is wrong is collected."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from responder.domain.errors import Complaint, SettingsError
from responder.language.durations import parse_duration
from responder.language.matchers import Matcher, parse_matcher
from responder.language.strict_yaml import Document
from responder.language.suggest import did_you_mean

T = TypeVar("T")
UNREAD = "unread:"
"""How what stands in for a secret begins."""
_LARGEST_SECRET = 64 * 1024
_WORD = re.compile(r"[A-Za-z][\w-]{0,23}", re.ASCII)
_PATH = re.compile(r"(?:\.{0,2}|~)/.*|.*\.[a-z]{1,10}", re.DOTALL)
"""What looks like a path; anything else behind ``…_file`` may be the secret itself."""


class WrongSettings(SettingsError):
    """The configuration file is wrong; ``complaints`` are all that was found in it, in file order."""

    def __init__(self, complaints: Iterable[Complaint]) -> None:
        """Say every complaint on a line of its own, with how to mend it."""
        self.complaints = tuple(sorted(complaints, key=lambda one: (one.line, one.column)))
        super().__init__("\n".join(f"{one}{f': {one.hint}' if one.hint else ''}" for one in self.complaints))


def read_secret_file(path: Path) -> str:
    """Return the secret in a file, without the white space around it; raises OSError or ValueError."""
    data = path.read_bytes()
    if len(data) > _LARGEST_SECRET:
        raise ValueError(f"{path} is too large for a secret")
    text = data.decode("utf-8").strip()
    if not text:
        raise ValueError(f"{path} is empty")
    return text


def unread_secret(path: Path) -> str:
    """Stand in for a secret where none is at hand, as in CI: the file is not opened."""
    return f"{UNREAD}{path.name}"


class Reading:
    """What a pass over one file collects: complaints, secrets and the files that were read."""

    def __init__(self, document: Document, folder: Path, read_secret: Callable[[Path], str]) -> None:
        """Relative paths are relative to ``folder``."""
        self.document = document
        self.folder = folder
        self.read_secret = read_secret
        self.complaints: list[Complaint] = []
        self.secrets: set[str] = set()
        self.files: list[Path] = []

    def root(self) -> "Node":
        """The whole document."""
        return Node(self, (), self.document.data)


class Node:
    """One value of the document and where it stands. What cannot be read is complained about, and a stand-in given."""

    __slots__ = ("_reading", "path", "value")

    def __init__(self, reading: Reading, path: tuple[str | int, ...], value: object) -> None:
        """``path`` leads from the root to ``value``."""
        self._reading = reading
        self.path = path
        self.value = value

    @property
    def reading(self) -> Reading:
        """What this value's pass collects into."""
        return self._reading

    def complain(self, message: str, rule: str = "value", hint: str = "", *, at_key: bool = False) -> None:
        """Note that something is wrong with this value (or its key): in words that repeat no value that is secret."""
        self._note(self.path, message, rule, hint, at_key=at_key)

    def complain_of_key(self, message: str, rule: str, hint: str = "") -> None:
        """Note that this key cannot stand here, without repeating it: a secret may have got to its place."""
        self._note(self.path[:-1], message, rule, hint, at_key=True)

    def _note(self, named: tuple[str | int, ...], message: str, rule: str, hint: str, *, at_key: bool) -> None:
        label = ".".join(str(part) for part in named if isinstance(part, str))
        text = f"{label}: {message}" if label else message
        self._reading.complaints.append(self._reading.document.complain(self.path, text, rule, hint, at_key))

    def keys(self, known: Iterable[str], reserved: Mapping[str, str] | None = None) -> "Fields":
        """Read a mapping whose keys are ``known``; ``reserved`` ones are refused with what they are kept for."""
        allowed = set(known)
        found: dict[str, Node] = {}
        for name, node in self._children():
            if name in allowed:
                if node.value is not None:
                    found[name] = node
                continue
            where = ".".join(str(part) for part in self.path) or "the configuration"
            if reserved and name in reserved:
                node.complain("this key is reserved for a later version", "reserved-key", reserved[name], at_key=True)
                continue
            near = did_you_mean(name, allowed)
            if near:
                node.complain(f'unknown key "{name}"', "unknown-key", f'did you mean "{near}"?', at_key=True)
            else:
                node.complain_of_key("unknown key", "unknown-key", f"{where} has {', '.join(sorted(allowed))}")
        return Fields(self, found)

    def named(self) -> "dict[str, Node]":
        """Read a mapping whose keys are names that people chose."""
        return dict(self._children())

    def _children(self) -> "Iterator[tuple[str, Node]]":
        if self.value is None:
            return
        if not isinstance(self.value, dict):
            self.complain("a mapping of keys is expected", "type")
            return
        for name, value in self.value.items():
            yield name, Node(self._reading, (*self.path, name), value)

    def is_word(self, word: str, meaning: str) -> bool:
        """Say whether something stands here that is no mapping, and complain: only ``word`` may, for ``meaning``."""
        if self.value is None or isinstance(self.value, dict):
            return False
        near = did_you_mean(str(self.value), (word,))
        start = f'did you mean "{near}"? ' if near else ""
        self.complain(f"{shown(self.value)} means nothing here", "value", f"{start}write {word} for {meaning}")
        return True

    def items(self) -> "list[Node]":
        """Read a list."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            self.complain("a list is expected", "type", "put it in brackets: [ … ]")
            return []
        return [Node(self._reading, (*self.path, place), value) for place, value in enumerate(self.value)]

    def one_or_many(self) -> "list[Node]":
        """Read a list, or one value as a list of one."""
        return self.items() if isinstance(self.value, list) else [self]

    def text(self) -> str:
        """Read a text that is not empty."""
        if isinstance(self.value, str) and self.value.strip():
            return self.value
        written = isinstance(self.value, bool | int | float)
        hint = "put it in quotes" if written else "write a text after the colon"
        self.complain("a text is expected", "type", hint)
        return ""

    def flag(self) -> bool:
        """Read true or false."""
        if isinstance(self.value, bool):
            return self.value
        self.complain("true or false is expected", "type")
        return False

    def count(self, most: int) -> int:
        """Read a whole number from 1 to ``most``."""
        if isinstance(self.value, int) and not isinstance(self.value, bool) and 1 <= self.value <= most:
            return self.value
        self.complain(f"a whole number from 1 to {most} is expected", "type", "write one such as 3")
        return 1

    def choice(self, choices: Iterable[str]) -> str:
        """Read one of a few words; the first one stands in."""
        known = list(choices)
        if self.value in known:
            return str(self.value)
        near = did_you_mean(str(self.value), known)
        hint = f'did you mean "{near}"?' if near else f"write one of {', '.join(known)}"
        self.complain(f"{shown(self.value)} is not one of {', '.join(known)}", "value", hint)
        return known[0]

    def parsed(self, parse: Callable[[str], T], otherwise: T, rule: str, hint: str = "") -> T:
        """Read a text with one of the language's parsers, which raise ValueError with a sentence."""
        text = self.value if isinstance(self.value, int) and not isinstance(self.value, bool) else self.text()
        if text == "":
            return otherwise
        try:
            return parse(str(text))
        except ValueError as error:
            self.complain(str(error), rule, hint)
            return otherwise

    def duration(self, most: timedelta | None = None) -> timedelta:
        """Read a duration above zero."""
        found = self.parsed(parse_duration, timedelta(seconds=1), "duration")
        if not found:
            self.complain("a duration of zero leaves no time", "duration", "write one such as 5m")
        if most is not None and found > most:
            self.complain(f"{self.value} is too long: at most {most.total_seconds():g}s", "duration")
        return found

    def matchers(self) -> tuple[Matcher, ...]:
        """Read a list of matchers."""
        placeholder = Matcher("", "=", "")
        return tuple(node.parsed(parse_matcher, placeholder, "matcher") for node in self.items())

    def file_path(self) -> Path:
        """Read a path; a relative one is relative to the configuration file."""
        return self._reading.folder / Path(self.text()).expanduser()

    def url(self, schemes: Iterable[str] = ("http", "https")) -> str:
        """Read a URL of one of ``schemes`` with a host and without credentials in it."""
        text = self.text()
        if not text:
            return "http://unknown.invalid"
        parts = split_url(text)
        known = list(schemes)
        if parts is None or parts.scheme not in known or not parts.hostname:
            example = f"{known[0]}://host:port"
            self.complain(f"this is not a URL of {' or '.join(known)}", "url", f"write it like {example}")
        elif parts.username is not None or parts.password is not None:
            self._reading.secrets.add(parts.password or "")
            self.complain("the URL holds credentials", "url", "put them under basic_auth, and the password in a file")
        return text

    def secret_text(self) -> str:
        """Read a secret written in the file itself."""
        return self.secret(self.text())

    def secret(self, value: str) -> str:
        """Remember ``value`` as one that no log line may hold, and return it."""
        self._reading.secrets.add(value)
        return value

    def secret_from_file(self) -> str:
        """Read the secret in the file that this value names."""
        path = self.file_path()
        if not self.value:
            return ""
        self._reading.files.append(path)
        try:
            return self.secret(self._reading.read_secret(path))
        except UnicodeDecodeError:
            self.complain(f"{path} is not UTF-8 text", "secret-file")
        except OSError as error:
            why = error.strerror or type(error).__name__
            if _PATH.fullmatch(str(self.value)):
                self.complain(f"{path} cannot be read: {why}", "secret-file", "create it, or mount it")
            else:
                hint = f"name a file; a relative path begins in {self._reading.folder}"
                self.complain(f"the file that is named here cannot be read: {why}", "secret-file", hint)
        except ValueError as error:
            self.complain(str(error), "secret-file")
        return ""


class Fields:
    """The known keys of a mapping that are there."""

    def __init__(self, owner: Node, found: Mapping[str, Node]) -> None:
        """``owner`` is the mapping itself."""
        self.owner = owner
        self.found = found

    def __contains__(self, name: str) -> bool:
        return name in self.found

    def get(self, name: str) -> Node:
        """The value of ``name``; an absent one is an empty node, which reads as an empty list or mapping."""
        found = self.found.get(name)
        return Node(self.owner.reading, (*self.owner.path, name), None) if found is None else found

    def read(self, name: str, read: Callable[[Node], T], otherwise: T) -> T:
        """Return ``read(value)`` when the key is there, else ``otherwise``."""
        found = self.found.get(name)
        return otherwise if found is None else read(found)

    def required(self, name: str, read: Callable[[Node], T], otherwise: T, why: str) -> T:
        """As :meth:`read`, and complain about a missing key."""
        if name not in self.found:
            self.owner.complain(f'missing key "{name}"', "missing-key", why, at_key=True)
        return self.read(name, read, otherwise)

    def secret(self, name: str) -> str | None:
        """Read a secret: ``name`` or ``name_file``, not both; None when neither is there."""
        file = f"{name}_file"
        if name in self.found and file in self.found:
            self.found[file].complain(f"give either {name} or {file}, not both", "either-or", at_key=True)
        node = self.found.get(file) or self.found.get(name)
        if node is None:
            return None
        value = node.secret_from_file() if file in self.found else node.secret_text()
        if len(value.splitlines()) > 1:
            node.complain("a secret is one line, and here are several", "secret-file", "keep one line of it")
        return value

    def required_secret(self, name: str, why: str) -> str:
        """As :meth:`secret`, and complain when neither key is there."""
        found = self.secret(name)
        if found is None:
            self.owner.complain(f'missing key "{name}_file" (or "{name}")', "missing-key", why, at_key=True)
        return found or ""


def with_file(*names: str) -> tuple[str, ...]:
    """The keys of secrets: each name and its twin for a file."""
    return tuple(key for name in names for key in (name, f"{name}_file"))


def shown(value: object) -> str:
    """Return ``value`` in quotes when it is a word; anything else may hold a secret, and is called ``this``."""
    return repr(value) if isinstance(value, str) and _WORD.fullmatch(value) else "this"


def split_url(text: str) -> SplitResult | None:
    """Split a URL; None when it is none."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises for a port that is not a number
    except ValueError:
        return None
    return None if any(letter.isspace() for letter in text) else parts
