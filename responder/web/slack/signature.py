"""Slack's signature: who sent this body, and that it was sent just now."""

import hashlib
import hmac
from datetime import datetime

from responder.web.auth import same
from responder.web.parts import Refused

VERSION = "v0"
WINDOW_SECONDS = 300
"""A request that is older, or so far ahead, is a replay (docs.slack.dev, verifying requests from Slack)."""
_LONGEST_STAMP = 12
"""Digits: a time in seconds has ten."""


def check_stamp(stamp: str, now: datetime) -> None:
    """Raise Refused (401) unless ``stamp`` is a time close to ``now``."""
    if not stamp.isascii() or not stamp.isdecimal() or len(stamp) > _LONGEST_STAMP:
        raise Refused(401, "the header X-Slack-Request-Timestamp holds no time")
    if abs(now.timestamp() - int(stamp)) > WINDOW_SECONDS:
        raise Refused(401, "the signature is stale", "compare the responder's clock: Slack's requests are minutes old")


def check_signature(secret: str, stamp: str, given: str, body: bytes, now: datetime) -> str:
    """Return the signature of ``body`` when it is ``given`` and fresh; raises Refused (401) when not."""
    check_stamp(stamp, now)
    signed = f"{VERSION}:{stamp}:".encode() + body
    expected = f"{VERSION}={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
    if not same(given, expected):
        raise Refused(401, "the signature is wrong", "compare notify.slack.signing_secret with that of the Slack app")
    return expected
