"""How to talk HTTP with somebody: Prometheus' ``http_config``, key for key."""

import base64
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from responder.domain.errors import SettingsError

TLS_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
"""As prometheus/common spells them (``config.TLSVersions``)."""


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """A user and its password."""

    username: str
    password: str = field(repr=False)

    def header(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")


@dataclass(frozen=True, slots=True)
class HttpAuth:
    """What an Authorization header must hold: ``authorization`` (a scheme and its credentials) or ``basic_auth``."""

    scheme: str = "Bearer"
    credentials: str | None = field(default=None, repr=False)
    basic: BasicAuth | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is asked for."""
        return self.credentials is None and self.basic is None

    def header(self) -> str | None:
        """The value of an Authorization header, or None when there is none to send."""
        if self.basic is not None:
            return self.basic.header()
        return None if self.credentials is None else f"{self.scheme} {self.credentials}"


NO_AUTH = HttpAuth()
"""No Authorization header at all."""


class _NamedServer(ssl.SSLContext):
    """A client's context for a server whose certificate has another name than its address.

    The name is asked for in the handshake and checked in place of the address, whoever opens the connection: every
    client of ours takes a context, and none of them has to know.
    """

    server_name: str

    def wrap_bio(  # what asyncio calls
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the signature of the class above
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Wrap a pair of buffers, for ``server_name``."""
        return super().wrap_bio(incoming, outgoing, server_side, self.server_name, session)

    def wrap_socket(  # noqa: PLR0917 - what urllib calls; the signature of the class above
        self,
        sock: socket.socket,
        server_side: bool = False,  # noqa: FBT001, FBT002
        do_handshake_on_connect: bool = True,  # noqa: FBT001, FBT002
        suppress_ragged_eofs: bool = True,  # noqa: FBT001, FBT002
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """Wrap a socket, for ``server_name``."""
        return super().wrap_socket(
            sock, server_side, do_handshake_on_connect, suppress_ragged_eofs, self.server_name, session
        )


def _trusting(ca_file: Path | None, server_name: str | None) -> ssl.SSLContext:
    usual = ssl.create_default_context(cafile=ca_file)
    if server_name is None:
        return usual
    named = _NamedServer(ssl.PROTOCOL_TLS_CLIENT)
    named.server_name = server_name
    named.verify_flags = usual.verify_flags
    if ca_file is None:
        named.load_default_certs()
    else:
        named.load_verify_locations(ca_file)
    return named


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """``tls_config``: whom to trust, who we are, and by which name the server proves who it is (``server_name``)."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False
    min_version: str | None = None
    max_version: str | None = None

    def context(self) -> ssl.SSLContext:
        """Build the context; raises SettingsError naming the file that cannot be used."""
        try:
            context = _trusting(self.ca_file, self.server_name)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"tls_config: {self.ca_file} is not a file of certificates: {error}") from error
        if self.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file is not None:
            try:
                context.load_cert_chain(self.cert_file, self.key_file)
            except (OSError, ssl.SSLError) as error:
                message = f"tls_config: {self.cert_file} and {self.key_file} are not a certificate and its key: {error}"
                raise SettingsError(message) from error
        if self.min_version is not None:
            context.minimum_version = TLS_VERSIONS[self.min_version]
        if self.max_version is not None:
            context.maximum_version = TLS_VERSIONS[self.max_version]
        return context


@dataclass(frozen=True, slots=True)
class OAuth2:
    """``oauth2``: client credentials, exchanged for a token at ``token_url`` by the client."""

    client_id: str
    token_url: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...] = ()
    endpoint_params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """One place to call and how: URL, credentials, TLS, proxy, further headers."""

    url: str
    auth: HttpAuth = NO_AUTH
    tls: TlsConfig | None = None
    oauth2: OAuth2 | None = None
    proxy_url: str | None = None
    http_headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def headers(self) -> Mapping[str, str]:
        """The headers of every request, credentials included."""
        authorization = self.auth.header()
        credentials = {} if authorization is None else {"Authorization": authorization}
        return {**self.http_headers, **credentials}

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS context, or None for the usual one; raises SettingsError for unusable files."""
        return None if self.tls is None else self.tls.context()
