"""Secrets, so that they can be kept out of logs and records."""

import base64
import json
import re
from collections.abc import Collection, Iterable
from urllib.parse import quote, quote_plus

from pydantic import JsonValue

MASK = "<secret>"
_SHORTEST_PART = 6
"""A shorter secret is recognised as a whole value only: within other text it would be found by chance."""


class Redactor:
    """Knows the secret values of the configuration."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Know ``secrets``."""
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Know further secrets; those of an earlier configuration stay secret."""
        new = {secret for secret in secrets if secret} - self._secrets
        if not new:
            return
        self._secrets |= new
        forms = {form for secret in self._secrets if len(secret) >= _SHORTEST_PART for form in _forms(secret)}
        ordered = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(form) for form in ordered)) if ordered else None

    def redact(self, text: str) -> str:
        """Return ``text`` with every secret masked, as written, URL-quoted, in JSON or in base64."""
        if text in self._secrets:
            return MASK
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def holds_secret(self, value: JsonValue) -> bool:
        """Whether ``value`` is or holds a secret anywhere, keys included."""
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
        return text in self._secrets or (self._pattern is not None and self._pattern.search(text) is not None)


def _forms(secret: str) -> Collection[str]:
    """Return the ways in which a secret may be written."""
    encoded = base64.b64encode(secret.encode()).decode("ascii")
    in_json = {json.dumps(secret, ensure_ascii=plain)[1:-1] for plain in (True, False)}
    return {secret, quote(secret, safe=""), quote_plus(secret), *in_json, repr(secret)[1:-1], encoded}
