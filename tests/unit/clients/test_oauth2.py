"""Calls with OAuth2 client credentials: one token for many, another one when it is refused, and nothing sent twice."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from responder.cli.reach import look_outside
from responder.clients.http import HttpClient
from responder.clients.oauth2 import OAuth2Spec
from responder.domain.errors import Permanent, StepError, Temporary
from responder.settings import load_settings
from tests.bed.web import serving

SECRET = "s/ecret of the client"


@dataclass
class Peer:
    """A service with its authorization server: it takes the latest token only, and counts what has its effect."""

    url: str = ""
    given: list[str] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    calls: int = 0
    only_body: bool = False
    broken: int = 0
    refuses: bool = False
    seconds: int = 3600
    forms: list[dict[str, str]] = field(default_factory=list)

    async def give(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        if self.broken:
            return web.json_response({"error": "server_error"}, status=self.broken)
        basic = "Basic " + base64.b64encode(b"us:s%2Fecret+of+the+client").decode()
        by_header = request.headers.get("Authorization") == basic and not self.only_body
        if not by_header and (form.get("client_id"), form.get("client_secret")) != ("us", SECRET):
            return web.json_response({"error": "invalid_client", "error_description": SECRET}, status=401)
        self.forms.append(form)
        self.given.append(f"token-{len(self.given)}-of-this-peer")
        return web.json_response({"access_token": self.given[-1], "token_type": "Bearer", "expires_in": self.seconds})

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        shown = request.headers.get("Authorization", "")
        if self.refuses or not self.given or shown != f"Bearer {self.given[-1]}":
            return web.json_response({"you sent": shown}, status=401)
        if request.method != "GET":
            self.effects.append(request.method)
        return web.json_response({"ok": True})


@asynccontextmanager
async def opened(secret: str = SECRET) -> AsyncIterator[tuple[Peer, HttpClient]]:
    peer = Peer()
    app = web.Application()
    app.router.add_post("/token", peer.give)
    app.router.add_route("*", "/it", peer.serve)
    async with serving(app) as peer.url:
        spec = OAuth2Spec(f"{peer.url}/token", "us", secret, ("read", "write"), {"audience": "shop"})
        client = HttpClient("shop", peer.url, ["* /*"], oauth2=spec)
        yield peer, client
        await client.close()


async def test_many_calls_share_one_token() -> None:
    async with opened() as (peer, client):
        await asyncio.gather(*(client.call("GET", "/it") for _ in range(8)))
        assert (len(peer.given), peer.calls) == (1, 8)
        assert peer.forms == [{"audience": "shop", "grant_type": "client_credentials", "scope": "read write"}]


async def test_a_token_that_is_refused_is_renewed_and_the_change_is_made_once_behind_its_gate() -> None:
    async with opened() as (peer, client):
        await client.call("GET", "/it")
        peer.given.append("another")  # the first one was revoked
        passed = 0

        async def gate() -> None:
            nonlocal passed
            passed += 1

        await client.call("PUT", "/it", {"a": 1}, gate=gate)
        assert peer.effects == ["PUT"]
        assert passed == 2, "a brake that comes between the two is seen"


async def test_a_brake_between_the_two_sends_holds() -> None:
    async with opened() as (peer, client):
        await client.call("GET", "/it")
        peer.given.append("another")
        passed = 0

        async def gate() -> None:
            nonlocal passed
            passed += 1
            if passed > 1:
                raise Temporary("paused")

        with pytest.raises(Temporary, match="paused"):
            await client.call("PUT", "/it", {"a": 1}, gate=gate)
        assert peer.effects == []


async def test_who_is_refused_with_a_new_token_as_well_is_refused_and_hears_no_secret() -> None:
    async with opened() as (peer, client):
        await client.call("GET", "/it")
        peer.refuses = True
        with pytest.raises(Permanent, match="401") as raised:
            await client.call("PUT", "/it", {})
        assert (len(peer.given), peer.calls, peer.effects) == (2, 3, [])
        assert "you sent" in str(raised.value)
        assert "-of-this-peer" not in str(raised.value)


async def test_a_short_token_is_renewed_before_its_end() -> None:
    async with opened() as (peer, client):
        peer.seconds = 1
        await client.call("GET", "/it")
        await asyncio.sleep(0.6)  # half of its time: the clock of a token is the machine's
        await client.call("GET", "/it")
        assert (len(peer.given), peer.calls) == (2, 2), "nobody had to be refused for that"


async def test_a_server_that_wants_the_secret_in_the_body_gets_it_there() -> None:
    async with opened() as (peer, client):
        peer.only_body = True
        await client.call("GET", "/it")
        assert len(peer.given) == 1


@pytest.mark.parametrize(("broken", "kind"), [(503, Temporary), (429, Temporary), (400, Permanent)])
async def test_without_a_token_nothing_is_sent(broken: int, kind: type[StepError]) -> None:
    async with opened() as (peer, client):
        peer.broken = broken
        with pytest.raises(kind):
            await client.call("PUT", "/it", {})
        assert peer.calls == 0


async def test_a_client_that_is_refused_is_not_told_its_secret() -> None:
    async with opened("wrong secret 77") as (peer, client):
        for _ in range(3):
            with pytest.raises(Permanent, match="is refused with 401: invalid_client") as raised:
                await client.call("GET", "/it")
            assert "77" not in str(raised.value)
            assert SECRET not in str(raised.value)
        assert peer.calls == 0


async def test_doctor_asks_for_a_token_and_loads_the_certificates(tmp_path: Path) -> None:
    async with opened() as (peer, _):
        (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
        (tmp_path / "cert").write_text("no certificate", encoding="utf-8")
        oauth2 = f"{{ client_id: us, client_secret_file: secret, token_url: '{peer.url}/token' }}"
        tls = "{ cert_file: cert, key_file: cert }"
        shop = f"{{ url: '{peer.url}', allow: [ 'GET /*' ], oauth2: {oauth2} }}"
        safe = f"{{ url: '{peer.url}', allow: [ 'GET /*' ], tls_config: {tls} }}"
        (tmp_path / "responder.yml").write_text(f"connections: {{ http: {{ shop: {shop}, safe: {safe} }} }}")
        said = [str(one) for one in await look_outside(load_settings(tmp_path / "responder.yml", {}), {})]
        assert any("gives us a token" in one for one in said)
        assert any("are not a certificate and its key" in one for one in said)
        peer.broken = 400
        said = [str(one) for one in await look_outside(load_settings(tmp_path / "responder.yml", {}), {})]
        assert any("gives us no token: it answered 400" in one for one in said)
        assert SECRET not in "".join(said)
