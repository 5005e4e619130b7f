"""Secrets, so that they can be kept out of logs, records, messages and answers."""

import base64
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from urllib.parse import quote, quote_plus, unquote

import re2
from pydantic import JsonValue

from responder.telemetry.patterns import CARD, HIDDEN, NAMES, PERSONAL, SECRET, SECRETS, Pattern, is_card

MASK = SECRET
_SHORTEST_PART = 6
"""A shorter secret is recognised as a whole value only: within other text it would be found by chance."""
_WORD = re.compile(r"[A-Za-z]?[a-z]{0,8}")
"""So is one that is a word, such as ``postgres``: to mask it everywhere would hide what people are told about."""
IDENTITIES = frozenset(
    {"id", "incident", "incident_id", "run", "run_id", "of_run", "episode", "fingerprint", "revision", "playbook"}
    | {"plan_hash", "destination", "cursor", "next", "needs_person_run", "actor", "by", "caller", "name", "stop_by"}
    | {"decided_by", "first_by", "acknowledged_by", "requested_by"}
)
"""Keys of our own whose values say which and who: no e-mail address or card number is looked for in them."""


@dataclass(frozen=True, slots=True)
class Privacy:
    """What else is kept out, as configured: values of these labels, texts of these patterns (RE2), personal data.

    ``people`` are the names under which people are known here: they stay readable though they be e-mail addresses.
    """

    labels: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()
    personal: bool = True
    people: frozenset[str] = frozenset()


class Redactor:
    """Knows the secret values of the configuration, and what secrets look like."""

    def __init__(self, secrets: Iterable[str] = (), privacy: Privacy = Privacy()) -> None:
        """Know ``secrets``."""
        self._secrets: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self._privacy = privacy
        self.learn(secrets)
        self._build()

    @property
    def labels(self) -> frozenset[str]:
        """The labels whose values nobody is to see."""
        return self._privacy.labels

    def configure(self, privacy: Privacy) -> None:
        """Keep out what ``privacy`` says from now on."""
        if privacy != self._privacy:
            self._privacy = privacy
            self._build()

    def learn(self, secrets: Iterable[str]) -> None:
        """Know further secrets; those of an earlier configuration stay secret."""
        new = {secret for secret in secrets if secret} - self._secrets
        if not new:
            return
        self._secrets |= new
        forms = {form for secret in self._secrets if not _whole_only(secret) for form in _forms(secret)}
        ordered = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(re.escape(form) for form in ordered)) if ordered else None
        self._build()

    def _build(self) -> None:
        """Make one automaton of everything that is looked for: it says in one pass that there is nothing."""
        privacy = self._privacy
        own = [Pattern(text, text) for text in privacy.patterns]
        labels = _label_patterns(privacy.labels) if privacy.labels else ()
        personal = PERSONAL if privacy.personal else ()
        self._lasting = [(one, one.compiled()) for one in (*labels, *SECRETS)]
        self._personal = [(one, one.compiled()) for one in personal]
        self._own = [re2.compile(text) for text in privacy.patterns]
        forms = [] if self._known is None else [self._known.pattern]
        shapes = [one.screen for one in (*labels, *SECRETS, *personal, *own)]
        self._screen = re2.compile("|".join(f"(?:{one})" for one in (*forms, *shapes)), _options())

    def clean(self, text: str) -> bool:
        """Say whether there is nothing to mask in ``text``: one linear pass, some microseconds for a line."""
        return self._screen.search(text.encode("utf-8", "replace")) is None

    def redact(self, text: str) -> str:
        """Return ``text`` with every secret masked, as written, URL-quoted, in JSON or in base64, and what looks so."""
        if text in self._secrets:
            return MASK
        return text if self.clean(text) else self._masked(text, personal=True)

    def known(self, text: str) -> str:
        """Return ``text`` with the configured secrets masked, and nothing else."""
        return MASK if text in self._secrets else text if self._known is None else self._known.sub(MASK, text)

    def _masked(self, text: str, *, personal: bool) -> str:
        text = self.known(text)
        for pattern, compiled in self._lasting:
            text = compiled.sub(partial(_in_place, pattern.mask), text)
        for own in self._own:
            text = own.sub(MASK, text.encode("utf-8", "replace").decode())
        for pattern, compiled in self._personal if personal else ():
            text = compiled.sub(partial(self._personal_of, pattern.mask), text)
        return text

    def _personal_of(self, mask: str, match: "re.Match[str]") -> str:
        if mask == CARD and not is_card(match):
            return match[0]
        return match[0] if match[0] in self._privacy.people else mask

    def redact_value(self, value: Any) -> Any:  # noqa: ANN401 - JSON, and whatever else a log line is given
        """Return a value with every text in it masked, and hidden labels; what is not JSON becomes text."""
        hidden = sorted(self._hidden_in(value), key=len, reverse=True)
        return self._walk(value, hidden, personal=True)

    def redact_json(self, value: JsonValue) -> JsonValue:
        """Return an answer as it may be given; one that holds nothing is looked through once, and given as it is."""
        short = any(_whole_only(one) for one in self._secrets)
        if not short and not self._hidden_in(value) and self.clean(json.dumps(value, ensure_ascii=False, default=str)):
            return value
        masked: JsonValue = self.redact_value(value)
        return masked

    def _hidden_in(self, value: object) -> set[str]:
        """Return the values of hidden labels in a structure that are long enough to be looked for in its texts."""
        found: set[str] = set()
        stack: list[object] = [value] if self.labels else []
        while stack:
            one = stack.pop()
            if isinstance(one, Mapping):
                found |= {text for key, text in one.items() if key in self.labels and isinstance(text, str)}
                stack.extend(one.values())
            elif isinstance(one, list | tuple):
                stack.extend(one)
        return found

    def _walk(self, value: Any, hidden: Collection[str], *, personal: bool) -> Any:  # noqa: ANN401 - as above
        if isinstance(value, str):
            text = without(value, hidden)
            return (
                MASK if text in self._secrets else text if self.clean(text) else self._masked(text, personal=personal)
            )
        if value is None or isinstance(value, bool | int | float):
            return MASK if not isinstance(value, bool) and str(value) in self._secrets else value
        if isinstance(value, Mapping):
            return {
                self._walk(str(key), (), personal=personal): self._member(str(key), one, hidden, personal=personal)
                for key, one in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self._walk(one, hidden, personal=personal) for one in value]
        return self._walk(str(value), hidden, personal=personal)

    def _member(self, key: str, value: Any, hidden: Collection[str], *, personal: bool) -> Any:  # noqa: ANN401 - as above
        """Mask a value of a mapping: its key may say what it is."""
        if isinstance(value, str) and value:
            if key in self.labels:
                return HIDDEN
            if NAMES.search(key):
                return MASK
        which = key in IDENTITIES and not isinstance(value, Mapping | list)
        return self._walk(value, () if which else hidden, personal=personal and not which)

    def holds_secret(self, value: JsonValue) -> bool:
        """Whether ``value`` is or holds a configured secret anywhere, keys included."""
        stack: list[JsonValue] = [value]
        while stack:
            one = stack.pop()
            if isinstance(one, dict):
                stack.extend(one)
                stack.extend(one.values())
            elif isinstance(one, list):
                stack.extend(one)
            elif one is not None and not isinstance(one, bool) and self._is_secret(str(one)):
                return True
        return False

    def _is_secret(self, text: str) -> bool:
        return text in self._secrets or (self._known is not None and self._known.search(text) is not None)


@cache
def shapes() -> Redactor:
    """Return what knows secrets by their shape alone: for texts that are cut before anything else looks at them."""
    return Redactor()


def without(text: str, hidden: Iterable[str]) -> str:
    """Return ``text`` without these values of labels, the longest first; short ones only where they stand alone."""
    for value in hidden:
        if value and value in text:
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", HIDDEN, text)
    return text


def _whole_only(secret: str) -> bool:
    return len(secret) < _SHORTEST_PART or _WORD.fullmatch(secret) is not None


def _in_place(mask: str, match: "re.Match[str]") -> str:
    """Put the mask where the value stood and leave what it was called."""
    if "value" not in match.re.groupindex:
        return mask
    start, end = (place - match.start() for place in match.span("value"))
    return f"{match[0][:start]}{mask}{match[0][end:]}"


def _label_patterns(labels: Collection[str]) -> tuple[Pattern, ...]:
    """Return what finds ``name="value"`` and ``name=value``, as matchers, group keys and expressions write a label."""
    names = "|".join(re.escape(one) for one in sorted(labels, key=len, reverse=True))
    begin = rf"\b(?:{names})\\{{0,3}}[\"']?\s{{0,3}}(?:=~?|:)\s{{0,3}}"
    quoted, bare = r"\\{0,3}[\"'](?P<value>[^\"'\\]+)", r"(?P<value>[^\s\"'\\,;}<]+)"
    return (Pattern("hidden label", begin + quoted, HIDDEN), Pattern("hidden label", begin + bare, HIDDEN))


def _options() -> "re2.Options":
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    options.max_mem = 64 << 20  # of many secrets: short of room the automaton is thrown away and built again
    return options


def _forms(secret: str) -> Collection[str]:
    """Return the ways in which a secret may be written."""
    encoded = base64.b64encode(secret.encode()).decode("ascii")
    plain = unquote(secret)  # of a password in a URL
    in_json = {json.dumps(secret, ensure_ascii=plain)[1:-1] for plain in (True, False)}
    return {secret, quote(secret, safe=""), quote_plus(secret), *in_json, repr(secret)[1:-1], encoded, plain}
