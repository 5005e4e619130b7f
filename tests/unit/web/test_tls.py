"""The web configuration file: certificates, client certificates, and changes without a restart."""

import asyncio
import os
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from responder.domain.errors import SettingsError
from responder.settings import HttpConfig
from responder.settings.http import TlsConfig
from responder.web.web_config import WebConfigFile, read_web_config
from tests.bed.alerts import webhook
from tests.bed.waiting import eventually
from tests.unit.web.conftest import Bed

Sign = Callable[[str], None]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a CA, a server's and two clients' certificates with openssl, and a stranger's."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make certificates")
    folder = tmp_path_factory.mktemp("certificates")

    def run(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for authority in ("ca", "other"):
        run("req", "-x509", *curve, "-keyout", f"{authority}.key", "-out", f"{authority}.crt", "-days", "2",
            "-subj", f"/CN={authority}", "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    for name, authority in (
        ("server", "ca"),
        ("server2", "ca"),
        ("client", "ca"),
        ("wrong", "ca"),
        ("stranger", "other"),
    ):
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:localhost,DNS:{name}.example,IP:127.0.0.1\n")
        run("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.crt", "-CAkey", f"{authority}.key",
            "-CAcreateserial", "-out", f"{name}.crt", "-days", "2", "-extfile", f"{name}.ext")  # fmt: skip
    return folder


def web_config(folder: Path, certificates: Path, *, client: str = "", name: str = "server") -> Path:
    """Write a web configuration file with copies of the certificates beside it."""
    for file in (f"{name}.crt", f"{name}.key"):
        shutil.copy(certificates / file, folder / file.replace(name, "server"))
    shutil.copy(certificates / "ca.crt", folder / "ca.crt")
    path = folder / "web.yml"
    asked = f", client_ca_file: ca.crt, {client}" if client else ""
    path.write_text(f"tls_server_config: {{ cert_file: server.crt, key_file: server.key{asked} }}\n")
    return path


def client_tls(certificates: Path, name: str = "") -> ssl.SSLContext:
    """Return a client's context as the settings make one."""
    files = (certificates / f"{name}.crt", certificates / f"{name}.key") if name else (None, None)
    config = HttpConfig("https://x", tls=TlsConfig(certificates / "ca.crt", *files))
    context = config.ssl_context()
    assert context is not None
    return context


async def post(port: int, tls: ssl.SSLContext, source: str = "mtls") -> int:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session,
        session.post(f"https://127.0.0.1:{port}/webhook/{source}", json=webhook()) as answer,
    ):
        return answer.status


async def test_a_client_certificate_is_enough_for_a_source_that_asks_for_one(
    bed: Bed, tmp_path: Path, certificates: Path
) -> None:
    bed.web_config = web_config(tmp_path, certificates, client="client_auth_type: VerifyClientCertIfGiven")
    async with bed.serving() as port:
        assert await post(port, client_tls(certificates, "client")) == 200
        assert await post(port, client_tls(certificates)) == 401
        with pytest.raises(aiohttp.ClientError):
            await post(port, client_tls(certificates, "stranger"))
    assert len(await bed.store.claim_deliveries(10)) == 1


async def test_without_a_certificate_nobody_gets_in_when_one_is_required(
    bed: Bed, tmp_path: Path, certificates: Path
) -> None:
    bed.web_config = web_config(tmp_path, certificates, client="client_auth_type: RequireAndVerifyClientCert")
    async with bed.serving() as port:
        with pytest.raises(aiohttp.ClientError):
            await post(port, client_tls(certificates))
        assert await post(port, client_tls(certificates, "client")) == 200


async def test_only_allowed_names_get_in(bed: Bed, tmp_path: Path, certificates: Path) -> None:
    allowed = "client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [ client.example ]"
    bed.web_config = web_config(tmp_path, certificates, client=allowed)
    async with bed.serving() as port:
        assert await post(port, client_tls(certificates, "client")) == 200
        assert await post(port, client_tls(certificates, "wrong")) == 403


async def test_plain_http_to_a_tls_listener_is_no_success(bed: Bed, tmp_path: Path, certificates: Path) -> None:
    bed.web_config = web_config(tmp_path, certificates)
    async with bed.serving() as port, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://127.0.0.1:{port}/-/healthy")


async def subject(port: int, tls: ssl.SSLContext) -> str:
    _reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    certificate = writer.get_extra_info("peercert")
    writer.close()
    await writer.wait_closed()
    return str(dict(one[0] for one in certificate["subject"])["commonName"])


async def test_a_new_certificate_is_used_without_a_restart_and_a_bad_one_is_not(
    bed: Bed, tmp_path: Path, certificates: Path
) -> None:
    bed.web_config = web_config(tmp_path, certificates)
    parts = bed.parts()
    bed.parts = lambda: parts  # type: ignore[method-assign] # the test needs the file's object
    tls = client_tls(certificates)
    async with bed.serving() as port:
        assert await subject(port, tls) == "server"
        web_config(tmp_path, certificates, name="server2")
        assert await parts.web_config.refresh() == ""
        assert await subject(port, tls) == "server2"
        (tmp_path / "server.crt").write_text("garbage")
        assert "are not a certificate and its key" in await parts.web_config.refresh()
        assert await subject(port, tls) == "server2"
        web_config(tmp_path, certificates)
        assert await parts.web_config.refresh() == ""
        assert await subject(port, tls) == "server"


async def test_a_client_ca_that_is_taken_out_is_trusted_no_longer(bed: Bed, tmp_path: Path, certificates: Path) -> None:
    bed.web_config = web_config(tmp_path, certificates, client="client_auth_type: RequireAndVerifyClientCert")
    parts = bed.parts()
    bed.parts = lambda: parts  # type: ignore[method-assign] # the test needs the file's object
    async with bed.serving() as port:
        assert await post(port, client_tls(certificates, "client")) == 200
        shutil.copy(certificates / "other.crt", tmp_path / "ca.crt")
        assert await parts.web_config.refresh() == ""
        with pytest.raises(aiohttp.ClientError):
            await post(port, client_tls(certificates, "client"))
        assert await post(port, client_tls(certificates, "stranger")) == 200


async def test_whether_clients_need_a_certificate_and_which_tls_is_taken_over(
    bed: Bed, tmp_path: Path, certificates: Path
) -> None:
    bed.web_config = web_config(tmp_path, certificates, client="client_auth_type: VerifyClientCertIfGiven")
    parts = bed.parts()
    bed.parts = lambda: parts  # type: ignore[method-assign] # the test needs the file's object
    new = client_tls(certificates, "client")
    new.minimum_version = ssl.TLSVersion.TLSv1_3
    async with bed.serving() as port:
        assert await post(port, client_tls(certificates)) == 401
        assert await post(port, new) == 200
        asked = "client_auth_type: RequireAndVerifyClientCert, max_version: TLS12"
        web_config(tmp_path, certificates, client=asked)
        assert await parts.web_config.refresh() == ""
        for refused in (client_tls(certificates), new):
            with pytest.raises(aiohttp.ClientError):
                await post(port, refused)
        assert await post(port, client_tls(certificates, "client")) == 200


async def test_what_is_wrong_is_said_until_it_is_well_and_a_file_that_comes_late_is_taken(
    tmp_path: Path, certificates: Path
) -> None:
    path = web_config(tmp_path, certificates)
    file = WebConfigFile(path)
    path.write_text("tls_server_config: { cert_file: late.crt, key_file: late.key }\n")
    for _ in range(2):  # whoever asks for a reload hears what the look before has found
        assert "late.crt and" in await file.refresh()
        assert (tmp_path / "server.crt") in file.current.files
    for end in ("crt", "key"):
        shutil.copy(certificates / f"server2.{end}", tmp_path / f"late.{end}")
    assert [one.rule for one in file.complaints] == ["reload"]
    assert await file.refresh() == ""
    assert file.complaints == ()
    assert (tmp_path / "late.crt") in file.current.files
    assert await file.refresh() == ""
    (tmp_path / "late.crt").write_text("garbage")
    assert "late.crt and" in await file.refresh()


async def test_the_server_says_once_what_is_wrong_with_the_file_and_goes_on_looking(
    bed: Bed, tmp_path: Path, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("responder.web.server.REFRESH_SECONDS", 0.01)
    bed.web_config = web_config(tmp_path, certificates)
    async with bed.serving() as port:
        (tmp_path / "server.crt").write_text("garbage")
        await eventually(lambda: bool(bed.of("web_config")))
        await asyncio.sleep(0.2)
        assert len(bed.of("web_config")) == 1  # and it is read at each look
        web_config(tmp_path, certificates, name="server2")

        async def taken() -> bool:
            return await subject(port, client_tls(certificates)) == "server2"

        await eventually(taken)


async def test_tls_is_not_switched_off_under_our_feet(tmp_path: Path, certificates: Path) -> None:
    path = web_config(tmp_path, certificates)
    file = WebConfigFile(path)
    path.write_text("{}\n")
    os.utime(path, (1, 1))
    assert "takes a restart" in await file.refresh()
    assert [(one.file, "takes a restart" in one.message) for one in file.complaints] == [
        (str(tmp_path / "web.yml"), True)
    ]
    assert file.current.tls is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tls_server_cfg: {}", 'did you mean "tls_server_config"'),
        ("tls_server_config: { cert_file: a }", 'missing key "key_file"'),
        (
            "tls_server_config: { cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert }",
            "needs client_ca",
        ),
        ("tls_server_config: { cert_file: a, key_file: b, client_auth_type: RequireAnyClientCert }", "proves nothing"),
        ("tls_server_config: { cert_file: a, key_file: b, min_version: TLS9 }", "is not one of TLS10"),
        ("tls_server_config: { cert_file: a, key_file: b, cipher_suites: [ x ] }", "OpenSSL's own"),
        ("basic_auth_users: { ana: secret }", "this is not a bcrypt hash"),
        ("http_server_config: { headers: { Server: x } }", "unknown key"),
        ("rate_limit: { interval: 1s }", "not supported"),
        ("a: 1\na: 2", "yaml-duplicate-key"),
    ],
)
def test_a_wrong_file_says_where_and_how_to_mend_it(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "web.yml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_web_config(tmp_path / "web.yml")
    assert "web.yml:" in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_file_or_certificate_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        WebConfigFile(tmp_path / "nothing.yml")
    (tmp_path / "web.yml").write_text("tls_server_config: { cert_file: a, key_file: b }")
    with pytest.raises(SettingsError, match="are not a certificate and its key"):
        WebConfigFile(tmp_path / "web.yml")
