"""Who calls: bearer tokens, users of the web configuration file, or nobody in particular on this machine alone."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from responder.domain.approvals import ANONYMOUS
from responder.settings import Role
from responder.web.parts import PARTS, Parts, Refused

RANK: Mapping[Role, int] = {"viewer": 0, "operator": 1, "admin": 2}
_NOBODY = "$2b$10$IJrkC9wUfzcs2P7cHCUcN.lLFHPesAyT99KMQ9YQpjTOUvnxBhZdO"
"""A hash of nothing: an unknown user takes as long to refuse as a known one."""
_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller; ``name`` is what the audit log says, ``groups`` are those of a Slack user."""

    name: str
    role: Role
    groups: frozenset[str] = frozenset()


class Passwords:
    """Checks bcrypt passwords, one at a time and off the loop, and remembers the outcome for the same hash."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._known: OrderedDict[bytes, bool] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    async def fits(self, users: Mapping[str, str], name: str, password: str) -> bool:
        """Whether ``password`` is that of the user ``name``."""
        hashed = users.get(name, _NOBODY)
        key = hashlib.sha256(f"{len(name)}:{name}:{hashed}:{password}".encode()).digest()
        found = self._known.get(key)
        if found is None:
            async with self._one_at_a_time:
                found = await asyncio.to_thread(_check, hashed, password) and name in users
            self._known[key] = found
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found


def _check(hashed: str, password: str) -> bool:
    import bcrypt

    try:
        # bcrypt looks at 72 bytes; libraries before and after disagree on whether more is an error.
        return bcrypt.checkpw(password.encode()[:72], hashed.encode())
    except ValueError:
        return False


PASSWORDS: web.AppKey[Passwords] = web.AppKey("passwords", Passwords)


def same(one: str, other: str) -> bool:
    """Compare two secrets in a time that tells nothing about them."""
    digests = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (one, other)]
    return hmac.compare_digest(*digests)


def credentials(request: web.Request) -> tuple[str, str]:
    """Return the scheme (lower case) and the rest of the Authorization header, empty when there is none."""
    scheme, _, rest = request.headers.get("Authorization", "").strip().partition(" ")
    return scheme.lower(), rest.strip()


def basic(rest: str) -> tuple[str, str] | None:
    """Decode ``Basic`` credentials; None when they are not."""
    try:
        name, colon, password = base64.b64decode(rest, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None


async def authenticate(request: web.Request) -> Caller | None:
    """Return who calls; None when nobody that is known."""
    parts = request.app[PARTS]
    scheme, rest = credentials(request)
    if scheme == "bearer":
        return _by_token(parts, rest)
    if scheme == "basic":
        return await _by_password(request, parts, rest)
    if scheme == "" and parts.settings().access.anonymous and from_this_machine(request):
        return Caller(ANONYMOUS, "admin")
    return None


def _by_token(parts: Parts, given: str) -> Caller | None:
    # Every token is compared, so that the time does not tell which one was near.
    fitting = [token for token in parts.settings().access.tokens if same(token.value, given)]
    return Caller(fitting[0].name, fitting[0].role) if fitting else None


async def _by_password(request: web.Request, parts: Parts, rest: str) -> Caller | None:
    users, given = parts.web_config.current.users, basic(rest)
    if not users or given is None or not await request.app[PASSWORDS].fits(users, *given):
        return None
    return Caller(given[0], parts.settings().access.users.get(given[0], "viewer"))


async def require(request: web.Request, role: Role) -> Caller:
    """Return who calls when that is enough for ``role``; raises Refused (401, 403)."""
    if request.method not in ("GET", "HEAD"):
        refuse_foreign_pages(request)
    caller = await authenticate(request)
    parts = request.app[PARTS]
    if caller is None:
        parts.on_fact("access_refused", path=request.path, remote=request.remote or "", status=401)
        wanted = ["Bearer"] + (["Basic"] if parts.web_config.current.users else [])
        challenge = ", ".join(f'{scheme} realm="responder"' for scheme in wanted)
        given = "Authorization" in request.headers
        text = "these credentials are not known" if given else "credentials are needed"
        raise Refused(401, text, "send Authorization: Bearer TOKEN", {"WWW-Authenticate": challenge})
    if RANK[caller.role] < RANK[role]:
        parts.on_fact("access_refused", path=request.path, remote=request.remote or "", status=403, caller=caller.name)
        raise Refused(403, f"{caller.name} is {caller.role}; this takes {role}", "ask for a token with that role")
    return caller


def from_this_machine(request: web.Request) -> bool:
    """Whether the connection never left this machine and the page in the browser is ours (no DNS rebinding)."""
    peer = request.transport.get_extra_info("sockname") if request.transport is not None else None
    host = urlsplit(f"//{request.host}").hostname or ""
    return isinstance(peer, tuple) and _loopback(str(peer[0])) and (host == "localhost" or _loopback(host))


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def refuse_foreign_pages(request: web.Request) -> None:
    """Refuse what another site's page makes a browser send: it carries the user's credentials without asking."""
    origin = request.headers.get("Origin", "")
    foreign = bool(origin) and urlsplit(origin).netloc.lower() != request.host.lower()
    if foreign or request.headers.get("Sec-Fetch-Site", "") == "cross-site":
        raise Refused(403, "this request comes from another site's page", "use the responder's own pages or its API")
