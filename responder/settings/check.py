"""What depends on more than the file: the listeners, and what the playbooks may do."""

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

from responder.domain.errors import Complaint
from responder.domain.modes import Mode, strictest
from responder.language.durations import format_duration
from responder.settings.model import Settings
from responder.settings.reader import UNREAD

_LONG_ENOUGH = 16
_LONGER = "make one: openssl rand -hex 32"
_NOWHERE: Mapping[str, timedelta] = MappingProxyType({})


def cross_check(
    settings: Settings, modes: Mapping[str, Mode], looks_back: Mapping[str, timedelta] = _NOWHERE
) -> tuple[Complaint, ...]:
    """Return what is missing once the playbooks may do what they say; empty when nothing is.

    By their names: ``modes``, and how far back the limits of each look.
    """
    return (*_nobody_is_told(settings, modes), *_nobody_hears(settings), *_forgotten(settings, looks_back))


def worth_knowing(settings: Settings) -> tuple[Complaint, ...]:
    """Return what is allowed, and better done otherwise."""
    return (*_unsigned(settings), *_short(settings))


def _short(settings: Settings) -> tuple[Complaint, ...]:
    """Name the secrets of people and senders that can be guessed."""
    short = [f"access.tokens: the token of {one.name}" for one in settings.access.tokens if _guessed(one.value)]
    short += [
        f"sources.{name}: its secret" for name, one in settings.sources.items() if any(map(_guessed, one.secrets))
    ]
    message = f"has fewer than {_LONG_ENOUGH} characters: it can be guessed"
    return tuple(
        Complaint(settings.file, 1, 1, f"{one} {message}", "short-secret", _LONGER, severity="warning") for one in short
    )


def _guessed(secret: str) -> bool:
    return len(secret) < _LONG_ENOUGH and not secret.startswith(UNREAD)


def _unsigned(settings: Settings) -> tuple[Complaint, ...]:
    unsigned = sorted(name for name, one in settings.notify.webhook.items() if one.secret is None)
    message = "is not signed: whoever finds its address can tell it anything"
    hint = 'add secret_file, with what "whsec_$(openssl rand -base64 32)" gives, and check the signature there'
    return tuple(
        Complaint(settings.file, 1, 1, f"notify.webhook.{name}: {message}", "unsigned", hint, severity="warning")
        for name in unsigned
    )


def _forgotten(settings: Settings, looks_back: Mapping[str, timedelta]) -> tuple[Complaint, ...]:
    """Name the limit that looks back farthest, when what it counts would be deleted before."""
    policies = {policy.cap.told: policy.cap.window for policy in settings.policies if policy.cap is not None}
    farthest = {**{f"the limits of {name}": window for name, window in looks_back.items()}, **policies}
    name = max(farthest, key=lambda one: farthest[one], default="")
    kept = settings.retention["history"]
    if not name or farthest[name] <= kept:
        return ()
    wanted = format_duration(farthest[name])
    message = (
        f"retention.history: {format_duration(kept)} is less than {wanted}, the window of {name}:"
        " what was done before that is forgotten, and does not count"
    )
    hint = f"keep at least {wanted}, or give the limit a shorter window"
    return (Complaint(settings.file, 1, 1, message, "history-too-short", hint),)


def _nobody_hears(settings: Settings) -> tuple[Complaint, ...]:
    slack = settings.notify.slack
    if not settings.access.slack or (slack is not None and slack.pressable):
        return ()
    message = "access.slack: it names people, and nothing hears of what they press"
    hint = "add notify: { slack: { app_token_file: … } } (Socket Mode), or signing_secret_file"
    return (Complaint(settings.file, 1, 1, message, "nobody-hears", hint, severity="warning"),)


def _nobody_is_told(settings: Settings, modes: Mapping[str, Mode]) -> tuple[Complaint, ...]:
    reach = {name: strictest((mode, settings.max_mode)).reach for name, mode in modes.items()}
    acting = sorted(name for name, far in reach.items() if far >= Mode.APPROVE.reach)
    if not acting or settings.page is not None:
        return ()
    more = f" and {len(acting) - 1} more" if len(acting) > 1 else ""
    message = f"page: {acting[0]}{more} may act, and nobody is told when a person is needed"
    hint = (
        "add page: { pagerduty: SERVICE, after: 5m } (or slack, or console: true), or keep them at mode: observe;"
        " until then responder serve acts, and calls nobody"
    )
    return (Complaint(settings.file, 1, 1, message, "page-missing", hint),)


def is_loopback(listen: str) -> bool:
    """Whether only this machine can reach an address such as ``127.0.0.1:9095``; an unknown host name is not."""
    host = listen.rpartition(":")[0].strip("[]") if ":" in listen else listen
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
