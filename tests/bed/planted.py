"""Secrets to plant: one of each kind, put together here so that no scanner takes this file for a leak."""

import base64
import hashlib
from collections.abc import Mapping


def _word(
    seed: str, length: int, letters: str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
) -> str:
    """Return letters that look random and are the same each time."""
    digest = b"".join(hashlib.sha512(f"{seed}{turn}".encode()).digest() for turn in range(length // 64 + 1))
    return "".join(letters[one % len(letters)] for one in digest[:length])


_UPPER, _HEX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789abcdef"
_JWT = ".".join(
    base64.urlsafe_b64encode(part.encode()).decode().rstrip("=")
    for part in ('{"alg":"HS256","typ":"JWT"}', '{"sub":"responder","iat":1796000000}', _word("sig", 32))
)
_PEM = "\n".join(_word(f"pem{line}", 64) for line in range(4))

SHAPES: Mapping[str, tuple[str, str]] = {
    "pem": (f"-----BEGIN RSA PRIVATE KEY-----\n{_PEM}\n-----END RSA PRIVATE KEY-----", _PEM.split("\n", maxsplit=1)[0]),
    "pem-cut": (f"-----BEGIN PRIVATE KEY-----\n{_word('cut', 60)}", _word("cut", 60)),
    "jwt": (_JWT, _JWT.split(".")[2]),
    "aws": ("AKIA" + _word("aws", 16, _UPPER),) * 2,
    "github": ("ghp_" + _word("gh", 36),) * 2,
    "github-pat": ("github_pat_" + _word("ghpat", 60),) * 2,
    "gitlab": ("glpat-" + _word("gl", 20),) * 2,
    "slack-bot": ("xoxb-" + _word("xoxb", 40),) * 2,
    "slack-app": ("xapp-1-" + _word("xapp", 40),) * 2,
    "slack-hook": ("https://hooks.slack" + ".com/services/T0/B0/" + _word("hook", 24), _word("hook", 24)),
    "discord": ("https://discord.com/api/webhooks/123456789/" + _word("disc", 60), _word("disc", 60)),
    "teams": ("https://prod.logic.azure.com/workflows/1/run?sp=x&sig=" + _word("teams", 43), _word("teams", 43)),
    "google": ("AIza" + _word("goog", 35),) * 2,
    "google-oauth": ("ya29." + _word("ya", 60),) * 2,
    "stripe": ("sk_live_" + _word("stripe", 24),) * 2,
    "sk": ("sk-" + _word("sk", 48),) * 2,
    "sendgrid": ("SG." + _word("sg1", 22) + "." + _word("sg2", 43), _word("sg2", 43)),
    "npm": ("npm_" + _word("npm", 36),) * 2,
    "pypi": ("pypi-" + _word("pypi", 50),) * 2,
    "digitalocean": ("dop_v1_" + _word("do", 64, _HEX),) * 2,
    "vault": ("hvs." + _word("vault", 40),) * 2,
    "grafana": ("glsa_" + _word("glsa", 40),) * 2,
    "telegram": ("123456789:AA" + _word("tg", 33),) * 2,
    "databricks": ("dapi" + _word("dapi", 32, _HEX),) * 2,
    "url-password": (f"postgresql://app:{_word('dsn', 14)}@db.example/shop", _word("dsn", 14)),
    "redis-password": (f"redis://:{_word('redis', 14)}@cache:6379/0", _word("redis", 14)),
    "bearer": (f"Authorization: Bearer {_word('bearer', 30)}", _word("bearer", 30)),
    "basic": (
        "authorization: Basic " + base64.b64encode(b"ana:correct-horse").decode(),
        base64.b64encode(b"ana:correct-horse").decode(),
    ),
    "lone-bearer": (f"used bearer {_word('lone', 30)} to log in", _word("lone", 30)),
    "password-is": (f"password={_word('pw', 9)}", _word("pw", 9)),
    "password-says": (f"db_password: {_word('pw2', 9)}", _word("pw2", 9)),
    "password-json": (f'{{"password": "{_word("pw3", 9)}"}}', _word("pw3", 9)),
    "api-key": (f"x-api-key: {_word('apikey', 20)}", _word("apikey", 20)),
    "client-secret": (f"client_secret={_word('cs', 20)}", _word("cs", 20)),
    "token-is": (f"?access_token={_word('tok', 12)}&x=1", _word("tok", 12)),
    "token-says": (f"token: {_word('tok2', 22)}", _word("tok2", 22)),
    "routing-key": (f"routing_key={_word('rk', 32, _HEX)}", _word("rk", 32, _HEX)),
    "cookie": (f"Cookie: session={_word('cookie', 24)}", _word("cookie", 24)),
    "email": ("ana.lopez+oncall@customer.example", "ana.lopez"),
    "card": ("4111 1111 1111 1111",) * 2,
    "card-plain": ("5500005555555559",) * 2,
    "amex": ("3782-822463-10005",) * 2,
}
"""By kind: the text as it is planted, and the part of it that nobody outside is to see."""

SETTINGS: Mapping[str, str] = {
    kind: f"{kind}!{_word(kind, 18)}"
    for kind in (
        "webhook", "connection", "header", "dsn", "redis", "hmac", "prometheus", "second", "signing",
    )
}  # fmt: skip
"""By kind: a value that stands in the settings, and looks like nothing that a pattern knows."""
