"""``--web.config.file``: the exporter-toolkit's format, read again whenever it or a certificate changes.

``tls_server_config``, ``http_server_config.headers`` and ``basic_auth_users`` mean what they mean in Prometheus.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from responder.domain.errors import Complaint, PlaybookError, SettingsError
from responder.language.strict_yaml import load_bytes
from responder.settings.http import TLS_VERSIONS
from responder.settings.reader import Fields, Node, Reading, WrongSettings, read_secret_file

_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFIED = {"RequestClientCert", "RequireAnyClientCert"}
_HEADERS = (
    "Content-Security-Policy",
    "X-Frame-Options",
    "X-Content-Type-Options",
    "X-XSS-Protection",
    "Strict-Transport-Security",
)
"""The headers that the exporter-toolkit lets people set."""
_OPENSSL_OWN = dict.fromkeys(
    ("cipher_suites", "curve_preferences", "prefer_server_cipher_suites"),
    "leave it out: OpenSSL's own choice is used",
)
_BCRYPT = ("$2a$", "$2b$", "$2y$")


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What the listener shows and asks of clients."""

    cert_file: Path
    key_file: Path
    client_auth: ssl.VerifyMode = ssl.CERT_NONE
    client_ca_file: Path | None = None
    client_allowed_sans: frozenset[str] = frozenset()
    min_version: str = "TLS12"
    max_version: str | None = None

    def context(self) -> ssl.SSLContext:
        """Build the context; raises SettingsError naming the file that cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = TLS_VERSIONS[self.min_version]
        if self.max_version is not None:
            context.maximum_version = TLS_VERSIONS[self.max_version]
        try:
            context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ssl.SSLError) as error:
            files = f"{self.cert_file} and {self.key_file}"
            raise SettingsError(f"tls_server_config: {files} are not a certificate and its key: {error}") from error
        if self.client_ca_file is not None:
            try:
                context.load_verify_locations(self.client_ca_file)
            except (OSError, ssl.SSLError) as error:
                message = f"tls_server_config: {self.client_ca_file} is not a file of certificates: {error}"
                raise SettingsError(message) from error
        context.verify_mode = self.client_auth
        return context


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The file's content; without a file nothing is set."""

    tls: ServerTls | None = None
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


class ListenerContext(ssl.SSLContext):
    """What a listener holds for good: each connection is made by the context that is in force when it comes.

    A context that is in use can take a new certificate, but cannot be made to forget a CA or its session tickets.
    """

    current: ssl.SSLContext

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - as in the class above
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Make a connection's TLS; asyncio calls this for each."""
        return self.current.wrap_bio(incoming, outgoing, server_side, server_hostname, session)


class WebConfigFile:
    """The web configuration in force. ``refresh`` picks up changes; a bad change keeps the last good content."""

    def __init__(self, path: Path | None) -> None:
        """Read ``path`` (None: no file); raises SettingsError."""
        self._path = path
        self.current = WebConfig() if path is None else read_web_config(path)
        self.context: ListenerContext | None = None
        if self.current.tls is not None:
            self.context = ListenerContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.current = self.current.tls.context()
        self._seen: tuple[tuple[int, int, int] | None, ...] = ()
        self._wrong = ""
        self.complaints: tuple[Complaint, ...] = ()
        """What is wrong with the file since it was read last."""
        self._one_at_a_time = asyncio.Lock()

    async def refresh(self) -> str:
        """Read the file again when it or a certificate changed; returns what is wrong with it, empty when nothing is.

        What is wrong is read again each time, until it is well: nobody knows which file it waits for. New connections
        get the new certificates; TLS cannot be switched on or off without a restart.
        """
        if self._path is None:
            return ""
        async with self._one_at_a_time:
            files = self.current.files
            seen = tuple(_stat(path) for path in files)
            if seen == self._seen and not self._wrong:
                return ""
            try:
                self._wrong = await asyncio.to_thread(self._read, self._path)
                self.complaints = (Complaint(str(self._path), 0, 0, self._wrong, "reload"),) if self._wrong else ()
            except (SettingsError, OSError) as error:
                self._wrong = str(error) or type(error).__name__
                wrong = (Complaint(str(self._path), 0, 0, self._wrong, "reload"),)
                self.complaints = error.complaints if isinstance(error, WrongSettings) else wrong
            # Files that were not looked at before they were read are read once more.
            self._seen = seen if self.current.files == files else ()
            return self._wrong

    def _read(self, path: Path) -> str:
        """Put what the file says to use, all of it or nothing; returns why not, raises SettingsError or OSError."""
        config = read_web_config(path)
        if (config.tls is None) != (self.context is None):
            return f"{path}: switching TLS on or off takes a restart"
        if config.tls is not None and self.context is not None:
            self.context.current = config.tls.context()
        self.current = config
        return ""


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def read_web_config(path: Path) -> WebConfig:
    """Read the file at ``path``; raises SettingsError with every complaint and its place."""
    try:
        document = load_bytes(path.read_bytes(), str(path), secret=True)
    except OSError as error:
        raise SettingsError(f"--web.config.file: {path} cannot be read: {error.strerror or error}") from error
    except PlaybookError as error:
        raise WrongSettings(error.complaints) from error
    reading = Reading(document, path.parent.absolute(), read_secret_file)
    fields = reading.root().keys(("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"))
    if "rate_limit" in fields:
        hint = "the inbox is bounded in bytes anyway"
        fields.get("rate_limit").complain("rate_limit is not supported", "value", hint, at_key=True)
    config = WebConfig(
        tls=fields.read("tls_server_config", _tls, None),
        users={name: _hash(one) for name, one in fields.get("basic_auth_users").named().items()},
        headers=_server_headers(fields),
        files=(path.absolute(), *reading.files),
    )
    if reading.complaints:
        raise WrongSettings(reading.complaints)
    return config


def _tls(node: Node) -> ServerTls | None:
    if not node.value:
        return None
    fields = node.keys(
        (
            "cert_file",
            "key_file",
            "client_auth_type",
            "client_ca_file",
            "client_allowed_sans",
            "min_version",
            "max_version",
        ),
        _OPENSSL_OWN,
    )
    auth = fields.read("client_auth_type", _client_auth, ssl.CERT_NONE)
    ca_file = fields.read("client_ca_file", _file, None)
    if auth is not ssl.CERT_NONE and ca_file is None:
        node.complain("client_auth_type needs client_ca_file", "missing-key", at_key=True)
    versions = tuple(TLS_VERSIONS)
    return ServerTls(
        cert_file=fields.required("cert_file", _file, Path(), "the certificate"),
        key_file=fields.required("key_file", _file, Path(), "its key"),
        # As in Go: a CA alone asks for nothing, `client_auth_type` does.
        client_auth=auth,
        client_ca_file=ca_file,
        client_allowed_sans=frozenset(one.text() for one in fields.get("client_allowed_sans").items()),
        min_version=fields.read("min_version", lambda one: one.choice(versions), "TLS12"),
        max_version=fields.read("max_version", lambda one: one.choice(versions), None),
    )


def _client_auth(node: Node) -> ssl.VerifyMode:
    if node.value in _UNVERIFIED:
        hint = "use RequireAndVerifyClientCert or VerifyClientCertIfGiven"
        node.complain("a certificate that nobody verifies proves nothing", "value", hint)
        return ssl.CERT_NONE
    return _CLIENT_AUTH[node.choice(_CLIENT_AUTH)]


def _file(node: Node) -> Path:
    path = node.file_path()
    node.reading.files.append(path)
    return path


def _hash(node: Node) -> str:
    text = node.text()
    if text and not text.startswith(_BCRYPT):
        node.complain("this is not a bcrypt hash", "value", "make one: htpasswd -nBC 10 '' | tr -d ':\\n'")
    return text


def _server_headers(fields: Fields) -> dict[str, str]:
    found = fields.get("http_server_config").keys(("http2", "headers"))
    headers = found.get("headers").keys(_HEADERS)
    return {name: node.text() for name, node in headers.found.items()}
