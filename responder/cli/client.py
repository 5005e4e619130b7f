"""Talking to a running responder: a few requests over the standard library, so that the command line starts at once."""

import json
import os
import re
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urlencode

from responder.cli.exits import Exit

DEFAULT_URL = "http://127.0.0.1:9095"
TIMEOUT_SECONDS = 15
SHORTEST_ID = 4
_SHOWN_IDS = 3
_LISTED = re.compile(r"^/api/v1/(runs|incidents|decisions|deliveries) lists them$")

_A = {"run": "a run", "incident": "an incident"}

Json = dict[str, object]


def fail(message: str, code: Exit = Exit.USAGE) -> NoReturn:
    """Say what is wrong on stderr and leave with ``code``."""
    print(f"responder: {message}", file=sys.stderr)
    raise SystemExit(int(code))


@dataclass(frozen=True, slots=True)
class Client:
    """Where the responder is, the token to show it, and how long to wait for an answer (seconds)."""

    url: str
    token: str
    timeout: float = TIMEOUT_SECONDS

    def get(self, path: str, /, **parameters: str) -> Json:
        """GET ``/api/v1/{path}`` and return the JSON object; a parameter may have any name."""
        query = urlencode({name: value for name, value in parameters.items() if value})
        return self._call("GET", f"{path}?{query}" if query else path, None)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Json:
        """POST ``/api/v1/{path}``."""
        return self._call("POST", path, dict(body or {}))

    def delete(self, path: str) -> Json:
        """DELETE ``/api/v1/{path}``."""
        return self._call("DELETE", path, None)

    def items(self, kind: str, limit: int, /, **filters: str) -> Iterator[Json]:
        """Go through a list, newest first, at most ``limit`` rows; a filter is a field, of any name but those of pages.

        What pages are asked for by (``limit``, ``cursor``) is this function's own.
        """
        cursor, left = "", limit
        while left > 0:
            page = self.get(kind, **{**filters, "limit": str(min(left, 200)), "cursor": cursor})
            rows = page.get("items")
            if not isinstance(rows, list):
                self._stranger(f"there are no items in its {kind}")
            for row in rows:
                yield row
                left -= 1
            cursor = str(page.get("next") or "")
            if not cursor:
                return

    def run_id(self, wanted: str) -> str:
        """Complete the beginning or the end of a run's id; a full id is taken as it is."""
        return self._whole_id("run", wanted)

    def incident_id(self, wanted: str) -> str:
        """Complete the beginning or the end of an incident's id; a full id is taken as it is."""
        return self._whole_id("incident", wanted)

    def _whole_id(self, what: str, wanted: str) -> str:
        if "-" in wanted and len(wanted) == 17:  # noqa: PLR2004 - a whole id
            return wanted
        if len(wanted) < SHORTEST_ID:
            fail(f"{wanted!r} is too short for the id of {_A[what]}; give at least {SHORTEST_ID} characters")
        found = [str(row["id"]) for row in self.items(f"{what}s", 1000) if _is_part(wanted, str(row["id"]))]
        if not found:
            fail(
                f"no {what} has an id that begins or ends with {wanted!r}; the latest ones: responder {what}s",
                Exit.FINDINGS,
            )
        if len(found) > 1:
            shown = ", ".join(found[:_SHOWN_IDS]) + (" …" if len(found) > _SHOWN_IDS else "")
            fail(f"{len(found)} {what}s have an id that begins or ends with {wanted!r}; give more of it: {shown}")
        return found[0]

    def _call(self, method: str, path: str, body: Json | None) -> Json:
        request = urllib.request.Request(  # noqa: S310 - the address is the user's own
            f"{self.url.rstrip('/')}/api/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        if self.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=self.timeout, context=_tls()) as answer:  # noqa: S310 - see above
                decoded = json.loads(answer.read() or b"{}")
                return decoded if isinstance(decoded, dict) else {"items": decoded}
        except urllib.error.HTTPError as error:
            self._refused(error)
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                fail(
                    f"{self.url} gave no answer within {self.timeout:g} s: it or its store is slow, or down",
                    Exit.UNREACHABLE,
                )
            fail(
                f"no responder answers at {self.url}: {reason}; is it running? (--url, RESPONDER_URL)", Exit.UNREACHABLE
            )

    def _refused(self, error: urllib.error.HTTPError) -> NoReturn:
        try:
            answer = json.loads(error.read())
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or "error" not in answer:
            self._stranger(f"it answered {error.code} {error.reason}")
        text = answer.get("error") or error.reason
        if error.code == 401:  # noqa: PLR2004 - unauthorized; the API's own hint is a header, which nobody types here
            wrong = "is the token one of access.tokens of that responder?" if self.token else "give it a token:"
            fail(f"{text} (401); {wrong} --token-file FILE or RESPONDER_TOKEN_FILE")
        if error.code == 403:  # noqa: PLR2004 - forbidden
            fail(f"{text} (403); {answer.get('hint') or 'it takes a token with another role'}")
        hint = f"; {_as_command(str(answer['hint']))}" if answer.get("hint") else ""
        fail(f"{text}{hint}", _code_of(error.code))

    def _stranger(self, why: str) -> NoReturn:
        fail(f"what answers at {self.url} is not a responder's API: {why} (--url, RESPONDER_URL)", Exit.UNREACHABLE)


def _code_of(status: int) -> Exit:
    """Tell what the caller wrote wrongly (4xx) from what the responder does not have or will not do (404, 409)."""
    if status >= 500:  # noqa: PLR2004 - the 5xx class
        return Exit.UNREACHABLE
    return Exit.FINDINGS if status in (404, 409) else Exit.USAGE


def _as_command(hint: str) -> str:
    """Say what the API says of its own paths in the words of the command line."""
    return _LISTED.sub(r"the latest ones: responder \1", hint)


def _is_part(wanted: str, whole: str) -> bool:
    return whole.startswith(wanted) or whole.endswith(wanted)


def _tls() -> ssl.SSLContext | None:
    ca_file = os.environ.get("RESPONDER_CA_FILE")
    return ssl.create_default_context(cafile=ca_file) if ca_file else None


def running_url() -> str:
    """Return where a responder runs, unless a flag says otherwise."""
    return os.environ.get("RESPONDER_URL", "") or DEFAULT_URL


def connect(url: str, token_file: Path | None, timeout: float = TIMEOUT_SECONDS) -> Client:
    """Return a client for the flags given, the environment standing in for what is missing."""
    where = url or running_url()
    if not where.startswith(("http://", "https://")):
        fail(f"--url {where!r} is not an address such as {DEFAULT_URL}")
    path = token_file or (Path(os.environ["RESPONDER_TOKEN_FILE"]) if "RESPONDER_TOKEN_FILE" in os.environ else None)
    if path is None:
        return Client(where, "", timeout)
    try:
        return Client(where, path.read_text(encoding="utf-8").strip(), timeout)
    except (OSError, UnicodeDecodeError) as error:
        fail(f"the token file {path} cannot be read: {error}")


def segment(text: str) -> str:
    """Return ``text`` as one segment of a path."""
    return quote(text, safe="")
