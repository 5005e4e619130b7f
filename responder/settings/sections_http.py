"""Reading ``http_config``: Prometheus' keys, verbatim, beside a URL."""

import base64
from pathlib import Path

from responder.settings.http import NO_AUTH, TLS_VERSIONS, BasicAuth, HttpAuth, HttpConfig, OAuth2, TlsConfig
from responder.settings.reader import Fields, Node, with_file

AUTH_KEYS = ("authorization", "basic_auth")
HTTP_KEYS = (
    "url",
    *AUTH_KEYS,
    "oauth2",
    "tls_config",
    "proxy_url",
    "http_headers",
    "follow_redirects",
    "enable_http2",
)
_TLS_KEYS = (
    "ca_file",
    "cert_file",
    "key_file",
    "server_name",
    "insecure_skip_verify",
    "min_version",
    "max_version",
)
_RESERVED_HEADERS = {"authorization", "host", "content-length", "content-type", "user-agent", "transfer-encoding"}
_INLINE = {name: f"put it into a file and name that with {name}_file" for name in ("ca", "cert", "key")}


def read_http(node: Node) -> HttpConfig:
    """Read a bare URL, or a mapping with ``url`` and the keys of ``http_config``."""
    if isinstance(node.value, str):
        return HttpConfig(node.url().rstrip("/"))
    return http_of(node.keys(HTTP_KEYS))


def http_of(fields: Fields) -> HttpConfig:
    """Read ``http_config`` from a mapping that may have further keys."""
    auth = read_auth(fields)
    oauth2 = fields.read("oauth2", _oauth2, None)
    if oauth2 is not None and not auth.empty:
        fields.get("oauth2").complain("give only one of authorization, basic_auth and oauth2", "either-or", at_key=True)
    for ignored in ("follow_redirects", "enable_http2"):
        # Accepted because they stand in people's files: redirects are never followed, HTTP/1.1 is always spoken.
        fields.read(ignored, Node.flag, otherwise=False)
    return HttpConfig(
        url=fields.required("url", Node.url, "", "the address to call").rstrip("/"),
        auth=auth,
        tls=fields.read("tls_config", _tls, None),
        oauth2=oauth2,
        proxy_url=fields.read("proxy_url", Node.url, None),
        http_headers=_headers(fields.get("http_headers")),
    )


def read_auth(fields: Fields) -> HttpAuth:
    """Read ``authorization`` or ``basic_auth`` of a mapping."""
    if "authorization" in fields and "basic_auth" in fields:
        fields.get("basic_auth").complain("give either authorization or basic_auth", "either-or", at_key=True)
    if "basic_auth" in fields:
        return HttpAuth(basic=_basic(fields.get("basic_auth")))
    return fields.read("authorization", _authorization, NO_AUTH)


def _authorization(node: Node) -> HttpAuth:
    fields = node.keys(("type", *with_file("credentials")))
    scheme = fields.read("type", Node.text, "Bearer").strip()
    if scheme.lower() == "basic":
        fields.get("type").complain(
            "Basic has a key of its own", "value", "use basic_auth: { username: …, password_file: … }"
        )
    return HttpAuth(scheme, fields.required_secret("credentials", "what the Authorization header holds after its type"))


def _basic(node: Node) -> BasicAuth:
    fields = node.keys(("username", "username_file", *with_file("password")))
    name = fields.read("username_file", _plain_file, "") or fields.read("username", Node.text, "")
    if not name:
        node.complain('missing key "username"', "missing-key", "who calls", at_key=True)
    password = fields.required_secret("password", "the user's password")
    if password:
        node.secret(base64.b64encode(f"{name}:{password}".encode()).decode("ascii"))  # as it stands in a header
    return BasicAuth(name, password)


def _plain_file(node: Node) -> str:
    return node.secret_from_file()


def _oauth2(node: Node) -> OAuth2:
    fields = node.keys(
        ("client_id", *with_file("client_secret"), "token_url", "scopes", "endpoint_params"),
    )
    return OAuth2(
        client_id=fields.required("client_id", Node.text, "", "who calls"),
        token_url=fields.required("token_url", Node.url, "", "where the token is given"),
        client_secret=fields.required_secret("client_secret", "the client's secret"),
        scopes=tuple(one.text() for one in fields.get("scopes").items()),
        endpoint_params={name: one.text() for name, one in fields.get("endpoint_params").named().items()},
    )


def _tls(node: Node) -> TlsConfig:
    fields = node.keys(_TLS_KEYS, _INLINE)
    cert, key = fields.read("cert_file", _file, None), fields.read("key_file", _file, None)
    if (cert is None) != (key is None):
        node.complain("cert_file and key_file belong together", "missing-key", "give both or none", at_key=True)
    versions = tuple(TLS_VERSIONS)
    return TlsConfig(
        ca_file=fields.read("ca_file", _file, None),
        cert_file=cert,
        key_file=key,
        server_name=fields.read("server_name", Node.text, None),
        insecure_skip_verify=fields.read("insecure_skip_verify", Node.flag, otherwise=False),
        min_version=fields.read("min_version", lambda one: one.choice(versions), None),
        max_version=fields.read("max_version", lambda one: one.choice(versions), None),
    )


def _file(node: Node) -> Path:
    path = node.file_path()
    node.reading.files.append(path)
    return path


def _headers(node: Node) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, one in node.named().items():
        if name.lower() in _RESERVED_HEADERS or not name.isascii() or any(letter in name for letter in " :\r\n"):
            one.complain_of_key("this header cannot be set here", "value", "credentials go to authorization")
            continue
        fields = one.keys(("values", "secrets", "files"))
        values = [
            *(value.text() for value in fields.get("values").items()),
            *(value.secret_text() for value in fields.get("secrets").items()),
            *(value.secret_from_file() for value in fields.get("files").items()),
        ]
        if not values:
            one.complain("a header needs values, secrets or files", "missing-key")
        headers[name] = ", ".join(values)
    return headers
