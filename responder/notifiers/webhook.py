"""Any service of your own: each change of state as signed JSON, under the rules of Standard Webhooks."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping

from pydantic import JsonValue

from responder.clients.posting import Poster
from responder.domain.errors import DeliveryError
from responder.domain.notification import Notification, Receipt
from responder.notifiers.states import body, head, links, on_change, on_the_way, state_of
from responder.notifiers.text import line

VERSION = "1"
VALUE, MOST = 300, 64
"""Characters of a value, and labels and facts."""
PREFIX = "whsec_"
"""What a secret in base64 begins with (standardwebhooks.com, specification)."""


class WebhookNotifier:
    """Posts to the services that the configuration names; what is sent again carries the id that it had."""

    kind = "webhook"

    def __init__(
        self,
        services: Mapping[str, tuple[Poster, str | None]],
        now: Callable[[], float] = time.time,
    ) -> None:
        """``services`` are what posts and the secret to sign with, by name; ``now`` is the wall clock."""
        self._services = dict(services)
        self._now = now

    async def deliver(self, notification: Notification, address: str, receipt: Receipt | None, attempt: str) -> Receipt:
        """Post the account when its state has changed."""
        if address not in self._services:
            raise DeliveryError(f"notify.webhook has no {address!r}", permanent=True)
        poster, secret = self._services[address]

        async def post(news: Notification, number: int) -> None:
            name = event_id(news, number)
            sent = json.dumps(_event(news, name, number), ensure_ascii=False).encode("utf-8", "replace")
            stamp = str(int(self._now()))
            headers = {"webhook-id": name, "webhook-timestamp": stamp}
            if secret is not None:
                headers["webhook-signature"] = signature(secret, name, stamp, sent)
            await poster.post(sent, headers)

        return await on_change(notification, receipt, post)

    def on_the_way(self, notification: Notification, address: str, receipt: Receipt | None) -> Receipt | None:
        """Say what is known while a message is on its way."""
        return on_the_way(notification, receipt)

    async def find(self, address: str, attempt: str) -> Receipt | None:
        """Nobody can be asked; the id of what is sent again says that it is the same."""
        return None


def event_id(news: Notification, number: int) -> str:
    """Return the id of a message, the same for each try: of the incident, how many went before, and the state."""
    named = f"{news.incident_id}/{number}/{state_of(news)}"
    return f"msg_{hashlib.sha256(named.encode(errors='replace')).hexdigest()[:32]}"


def signature(secret: str, name: str, stamp: str, sent: bytes) -> str:
    """Return ``v1,`` and HMAC-SHA256 of id, time and body in base64 (standardwebhooks.com, specification)."""
    signed = f"{name}.{stamp}.".encode() + sent
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode('ascii')}"


def check_secret(secret: str | None) -> str:
    """Return what is wrong with a secret, empty when nothing is."""
    try:
        _key(secret or "")
    except binascii.Error:
        return f"what follows {PREFIX} is not base64"
    return ""


def _key(secret: str) -> bytes:
    """Return the key: what base64 after ``whsec_`` stands for, else the text itself. Raises binascii.Error."""
    return base64.b64decode(secret[len(PREFIX) :], validate=True) if secret.startswith(PREFIX) else secret.encode()


def _event(news: Notification, name: str, number: int) -> dict[str, JsonValue]:
    """Return the body; keys are added in later versions, none is taken away within ``version``."""
    labels, facts = dict(list((news.labels or {}).items())[:MOST]), dict(news.facts[:MOST])
    shown: list[JsonValue] = [{"text": text, "url": url} for text, url in links(news)]
    return {
        "version": VERSION,
        "id": name,
        "number": number,
        "incident": news.incident_id,
        "run": news.run_id,
        "state": news.headline.name.lower(),
        "needs_person": bool(news.page),
        "resolved": news.resolved,
        "severity": str(news.severity),
        "team": line(news.team, VALUE),
        "source": line(news.source, VALUE),
        "since": news.since.isoformat(),
        "headline": head(news),
        "text": "\n".join(body(news)),
        "page": line(news.page, VALUE),
        "labels": {line(key, VALUE): line(value, VALUE) for key, value in labels.items()},
        "facts": {key.replace(" ", "_"): line(value, VALUE) for key, value in facts.items()},
        "links": shown,
        "dedup_key": hashlib.sha256(news.group_key.encode(errors="replace")).hexdigest(),
    }
