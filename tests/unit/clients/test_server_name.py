"""``tls_config.server_name``: a certificate of another name than the address, checked and asked for by that name."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from responder.cli.reach import _request
from responder.clients.alertmanager import AlertmanagerClient
from responder.clients.http import HttpClient
from responder.clients.prometheus import PrometheusClient
from responder.domain.errors import Temporary
from responder.settings import HttpConfig
from responder.settings.http import TlsConfig

NAME = "shop.example"


@dataclass
class Server:
    """A TLS server at 127.0.0.1 whose certificate says ``shop.example``, and the names it was asked for."""

    url: str
    ca_file: Path
    asked_for: list[str | None] = field(default_factory=list)

    def config(self, server_name: str | None, *, unchecked: bool = False) -> HttpConfig:
        return HttpConfig(
            self.url, tls=TlsConfig(self.ca_file, server_name=server_name, insecure_skip_verify=unchecked)
        )

    async def call(self, config: HttpConfig) -> int:
        client = HttpClient("shop", self.url, ["* /*"], tls=config.ssl_context())
        try:
            return (await client.call("GET", "/a")).status
        finally:
            await client.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for ``shop.example`` alone."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make certificates")
    folder = tmp_path_factory.mktemp("named")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", f"/CN={NAME}",
         "-addext", f"subjectAltName=DNS:{NAME}"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem"


@pytest.fixture
async def server(certificate: Path) -> AsyncIterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    asked_for: list[str | None] = []
    context.sni_callback = lambda _connection, name, _context: asked_for.append(name)

    async def answer(request: web.Request) -> web.Response:
        listed = request.path.endswith(("/alerts", "/groups"))
        found: object = [] if listed else {"status": "success", "data": {"resultType": "vector", "result": []}}
        return web.json_response(found)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield Server(f"https://127.0.0.1:{runner.addresses[0][1]}", certificate, asked_for)
    await runner.cleanup()


async def test_a_server_is_known_by_the_name_that_is_configured(server: Server) -> None:
    assert await server.call(server.config(NAME)) == 200
    assert server.asked_for == [NAME]


@pytest.mark.parametrize("name", [None, "other.example"])
async def test_another_name_or_none_is_refused_and_nothing_is_sent(server: Server, name: str | None) -> None:
    with pytest.raises(Temporary, match="certificate"):
        await server.call(server.config(name))


async def test_without_checking_the_name_is_still_asked_for(server: Server) -> None:
    assert await server.call(server.config(NAME, unchecked=True)) == 200
    assert server.asked_for == [NAME]


async def test_each_client_and_the_doctor_go_by_it(server: Server) -> None:
    config = server.config(NAME)
    prometheus = PrometheusClient(config.url, tls=config.ssl_context())
    assert await prometheus.query("up") == ()
    await prometheus.close()
    alertmanager = AlertmanagerClient(config.url, tls=config.ssl_context())
    assert list(await alertmanager.alerts()) == []
    await alertmanager.close()
    status, _ = await asyncio.to_thread(_request, config, "/-/healthy")
    assert status == 200
    assert set(server.asked_for) == {NAME}
