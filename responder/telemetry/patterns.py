"""What looks like a secret or like somebody's personal data, wherever it comes from: one table, in the dialect of RE2.

Each pattern is written for RE2 and for Python alike. What is masked is the group ``value``, or all of it. No pattern
takes a quotation mark or a backslash into what it masks: the text around it stays JSON where it was.
"""

import re
from dataclasses import dataclass
from typing import Final

SECRET, EMAIL, CARD, HIDDEN = "<secret>", "<email>", "<card>", "<hidden>"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One shape: what is looked for and what is shown in its place."""

    name: str
    text: str
    mask: str = SECRET
    hint: str = ""
    """A shorter pattern that is in every text that this one is in: cheaper to look for."""

    @property
    def screen(self) -> str:
        """Return what RE2 looks for: it has no use for names of groups."""
        return (self.hint or self.text).replace("(?P<value>", "(?:")

    def compiled(self) -> re.Pattern[str]:
        """Return it for Python, which replaces; RE2 only says whether there is anything to replace."""
        return re.compile(self.text, re.ASCII)


_END = r"[^\s\"'\\,;&<>(){}\[\]]"
"""What a value in running text is made of."""
_QUOTE = r"(?:\\{0,3}[\"'])?"
"""A quotation mark, also within JSON that is written within JSON."""

SECRETS: Final[tuple[Pattern, ...]] = (
    Pattern(
        "private key",
        r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----(?P<value>(?:[^-\"]|-[^-\"])*)"
        r"(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY-----)?",
        hint="-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----",
    ),
    Pattern("JSON web token", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    Pattern("AWS key id", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    Pattern("GitHub", r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{22,})"),
    Pattern("GitLab", r"\bgl(?:pat|ptt|dt|rt|soat|cbt|ft|imt|agent)-[A-Za-z0-9_.-]{20,}"),
    Pattern("Slack token", r"\bx(?:ox[a-z]|app)(?:\.xox[a-z])?-[A-Za-z0-9-]{10,}"),
    Pattern(
        "Slack webhook", r"\bhooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/(?P<value>[A-Za-z0-9/_+-]{8,})"
    ),
    Pattern("Discord webhook", r"\bdiscord(?:app)?\.com/api/webhooks/(?P<value>[0-9]+/[A-Za-z0-9_-]{20,})"),
    Pattern("Teams webhook", r"\b(?:sig|sv_sig)=(?P<value>[A-Za-z0-9_%-]{16,})"),
    Pattern("Google", r"\b(?:AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,})"),
    Pattern("Stripe", r"\b(?:sk|rk|pk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}"),
    Pattern("sk- key", r"\bsk-[A-Za-z0-9_-]{20,}"),
    Pattern("SendGrid", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    Pattern("package registry", r"\b(?:npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{16,}|dckr_pat_[A-Za-z0-9_-]{20,})"),
    Pattern("DigitalOcean", r"\bdo[opr]_v1_[a-f0-9]{40,}"),
    Pattern("Vault", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}\b"),
    Pattern("Grafana", r"\bgl(?:sa|c)_[A-Za-z0-9_+/=]{20,}"),
    Pattern(
        "Hugging Face, Databricks, Shopify",
        r"\b(?:hf_[A-Za-z0-9]{30,}|dapi[a-f0-9]{32}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32})\b",
    ),
    Pattern("Telegram bot", r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b"),
    Pattern("age key", r"\bAGE-SECRET-KEY-1[A-Z0-9]{50,}"),
    Pattern("password in a URL", r"[A-Za-z0-9+.-]://[^\s/:@\"'\\<>]*:(?P<value>[^\s/@\"'\\<>]+)@"),
    Pattern(
        "Authorization",
        r"(?i:\bauthorization"
        + _QUOTE
        + r"\s{0,3}[:=]\s{0,3}"
        + _QUOTE
        + r"(?:(?:bearer|basic|token|apikey|digest)\s{1,3})?)"
        r"(?P<value>" + _END + r"{8,})",
    ),
    Pattern("bearer", r"(?i:\b(?:bearer|basic)\s{1,3})(?P<value>[A-Za-z0-9._~+/=-]{16,})"),
    Pattern(
        "password",
        r"(?i:(?:password|passwd|passphrase|pwd|secret[_-]?key|api[_-]?key|access[_-]?key|private[_-]?key"
        r"|client[_-]?secret|credentials?)"
        + _QUOTE
        + r"\s{0,3}[:=]\s{0,3}"
        + _QUOTE
        + r")(?P<value>"
        + _END
        + r"{4,})",
    ),
    Pattern(
        "token=",
        r"(?i:(?:token|secret|signature|routing[_-]?key|integration[_-]?key|session[_-]?id)"
        + _QUOTE
        + r"="
        + _QUOTE
        + r")(?P<value>"
        + _END
        + r"{4,})",
    ),
    Pattern(
        "token:",
        r"(?i:(?:token|secret|signature|routing[_-]?key|integration[_-]?key|session[_-]?id)"
        + _QUOTE
        + r"\s{0,3}:\s{0,3}"
        + _QUOTE
        + r")(?P<value>[A-Za-z0-9._~+/=-]{16,}|[A-Za-z._~+/=-]{0,15}[0-9]"
        + _END
        + r"{3,})",
    ),
    Pattern(
        "cookie",
        r"(?i:\b(?:set-)?cookie"
        + _QUOTE
        + r"\s{0,3}:\s{0,3}"
        + _QUOTE
        + r"[a-z0-9_.-]{1,60}=)(?P<value>"
        + _END
        + r"{4,})",
    ),
)
"""Tokens and keys of services by their prefixes, and whatever is called a password, a token or a secret."""

PERSONAL: Final[tuple[Pattern, ...]] = (
    Pattern(
        "e-mail",
        r"\b[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b",
        EMAIL,
        r"[A-Za-z0-9._%+-]@[A-Za-z0-9-]+\.[A-Za-z0-9]",
    ),
    Pattern(
        "card number",
        r"\b(?:[0-9]{13,19}|[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]{1,7}|[0-9]{4}[ -][0-9]{6}[ -][0-9]{4,5})\b",
        CARD,
    ),
)
"""What is somebody's own."""

NAMES: Final = re.compile(
    r"(?i)(?:password|passwd|passphrase|pwd|secret|token|authorization|cookie|signature|credentials?"
    r"|(?:secret|api|access|private|routing|integration)[_-]?key)\Z"
)
"""How a key ends whose value is a secret."""

_CARDS: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|62\d{14,17}",
    re.ASCII,
)
"""Length and first digits by issuer (ISO/IEC 7812, as the issuers publish them): most long numbers are none."""


def is_card(match: "re.Match[str]") -> bool:
    """Say whether a run of digits is the number of a payment card: its issuer's form, its check digit, by itself."""
    text, digits = match.string, re.sub(r"[ -]", "", match[0])
    before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    alone = before not in {".", "-", "_", "#"} and after not in {"-", "_"}
    return alone and _CARDS.fullmatch(digits) is not None and luhn(digits)


def luhn(digits: str) -> bool:
    """Say whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    doubled = [int(one) * (2 if place % 2 else 1) for place, one in enumerate(reversed(digits))]
    return sum(one - 9 if one > 9 else one for one in doubled) % 10 == 0  # noqa: PLR2004 - decimal digits
