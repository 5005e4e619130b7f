"""``responder doctor`` on mail, webhooks and Teams: it goes as far as it can, and tells nobody anything."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from responder.cli.check import run_check
from responder.cli.doctor_channels import look_at_channels
from responder.clients.mail import Mailer
from responder.domain.errors import DeliveryError
from responder.settings import Settings, load_settings, worth_knowing
from tests.bed.posting_peers import Mailbox, hook, mail_server, teams

SECRET = "whsec_cGxhbnRlZC1wbGFudGVkLXBsYW50ZWQ="


def settings(folder: Path, notify: str) -> Settings:
    file = folder / "responder.yml"
    file.write_text(f"notify: {notify}\n")
    return load_settings(file, {})


async def told(folder: Path, notify: str) -> list[str]:
    return [str(one) for one in await look_at_channels(settings(folder, notify))]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate that nobody trusts unless told to."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make certificates")
    folder = tmp_path_factory.mktemp("certificate")
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem"]
    made += ["-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", *made], cwd=folder, check=True, capture_output=True)
    return folder


def serving_tls(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@asynccontextmanager
async def strict_mail(certificate: Path) -> AsyncIterator[tuple[Mailbox, int]]:
    """Run a mail server that wants STARTTLS and a password."""
    box, loop = Mailbox(), asyncio.get_running_loop()

    def known(_: SMTP, __: Session, ___: Envelope, ____: str, given: object) -> AuthResult:
        return AuthResult(success=isinstance(given, LoginPassword) and given.password == b"right", handled=False)

    def one() -> SMTP:
        return SMTP(
            box, hostname="mail.example", loop=loop, tls_context=serving_tls(certificate), require_starttls=True,
            auth_required=True, authenticator=known,
        )  # fmt: skip

    server = await loop.create_server(one, "127.0.0.1", 0)
    try:
        yield box, server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_what_takes_a_post_is_reached_and_told_nothing(tmp_path: Path) -> None:
    async with hook() as signed, hook() as open_, teams() as workflow:
        said = await told(
            tmp_path,
            f'{{ webhook: {{ audit: {{ url: "{signed.url}", secret: {SECRET} }}, open: {{ url: "{open_.url}" }} }}, '
            f'teams: {{ oncall: "{workflow.url}" }}, slack_webhook: {{ alerts: "http://127.0.0.1:1/s3cret" }} }}',
        )
        assert [signed.events, open_.events, signed.refused, open_.refused, workflow.refused] == [[]] * 5
    places = [one.split(": ", 1) for one in said]
    assert [one for one, _ in places] == [
        "✔ webhook audit", "! webhook open", "✔ teams oncall", "✘ slack_webhook alerts"
    ]  # fmt: skip
    assert "what is sent is not signed: add secret_file" in said[1]
    assert said[2].endswith(" accepts connections")
    assert said[3] == "✘ slack_webhook alerts: 127.0.0.1:1 cannot be reached: Connection refused"


async def test_a_certificate_that_is_not_trusted_is_told(tmp_path: Path, certificate: Path) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=serving_tls(certificate))
    port = server.sockets[0].getsockname()[1]
    trusting = f"tls_config: {{ ca_file: {certificate / 'cert.pem'} }}"
    async with server:
        said = await told(
            tmp_path,
            f'{{ teams: {{ oncall: "https://localhost:{port}/s3cret" }}, '
            f'webhook: {{ audit: {{ url: "https://localhost:{port}/", secret: {SECRET}, {trusting} }} }} }}',
        )
    assert said == [
        f"✔ webhook audit: localhost:{port} is trusted, TLSv1.3",
        f"✘ teams oncall: localhost:{port} is not trusted: self-signed certificate",
    ]


async def test_the_mail_server_is_greeted_and_given_no_mail(tmp_path: Path, unused_tcp_port: int) -> None:
    async with mail_server() as box:
        mail = f"host: 127.0.0.1, port: {box.port}, from: r@corp.example"
        assert await told(tmp_path, f"{{ email: {{ {mail}, tls: none }} }}") == [
            f"✔ email: 127.0.0.1:{box.port} lets us in without a login, in the clear"
        ]
        (refused,) = await told(tmp_path, f"{{ email: {{ {mail} }} }}")
        assert refused.startswith("✘ email: the mail server 127.0.0.1:")
        assert "STARTTLS" in refused
        assert not box.mails
    (gone,) = await told(tmp_path, f"{{ email: {{ host: 127.0.0.1, port: {unused_tcp_port}, from: r@corp.example }} }}")
    assert gone.endswith("cannot be reached: Connection refused")


async def test_the_login_is_tried_as_for_a_message(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    async with strict_mail(certificate) as (box, port):
        right = Mailer("localhost", port, "starttls", "r", "right", trusting)
        assert await asyncio.to_thread(right.greet) == "TLSv1.3"
        with pytest.raises(DeliveryError, match="535"):
            await asyncio.to_thread(Mailer("localhost", port, "starttls", "r", "wrong", trusting).greet)
        with pytest.raises(DeliveryError, match="self-signed certificate"):
            await asyncio.to_thread(Mailer("localhost", port, "starttls", "r", "right").greet)
        assert not box.mails


def test_check_notes_a_webhook_that_is_not_signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from responder.app import catalogue

    signed = f"audit: {{ url: http://a.example, secret: {SECRET} }}"
    both = f"{{ webhook: {{ {signed}, open: {{ url: http://b.example }} }} }}"
    (found,) = worth_knowing(settings(tmp_path, both))
    assert found.message.startswith("notify.webhook.open: is not signed")
    (tmp_path / "tells.yaml").write_text('name: tells\nmatchers: [severity="info"]\n')
    assert run_check([tmp_path / "tells.yaml"], catalogue=catalogue(), of_settings=lambda _: (found,)) == 0
    assert "responder.yml:1:1: warning: notify.webhook.open: is not signed" in capsys.readouterr().out
