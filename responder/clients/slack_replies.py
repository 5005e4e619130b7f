"""Answers to one user of Slack, through the URL that came with what they did: nowhere but to Slack."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:  # loaded on first use: a `responder` without Slack does not pay for it
    import aiohttp

HOOKS = "hooks.slack.com"
"""Where a ``response_url`` leads (docs.slack.dev, handling user interaction)."""
TIMEOUT_SECONDS = 5.0
TRIES, PAUSE_SECONDS = 2, 0.5
"""Slack takes five answers to one request; one that was lost is worth a second."""
LONGEST = 2900
"""Characters: a text of a block takes 3,000."""


class OnFact(Protocol):
    """Takes a fact once, to log and to count."""

    def __call__(self, name: str, /, **fields: object) -> None:
        """Note the fact ``name``."""
        ...


class SlackReplies:
    """Says things to single users."""

    def __init__(self, api_url: Callable[[], str], on_fact: OnFact) -> None:
        """``api_url`` is that of the Slack in use; answers go to its hosts only."""
        self._api_url = api_url
        self._on_fact = on_fact
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()

    async def say(self, url: str, text: str) -> None:
        """Tell a user something that only they see; what cannot be said is a fact, and no error."""
        if not is_slacks(url, self._api_url()):
            # What is asked for is done by now; but a forged URL must not make us call anybody.
            self._on_fact("slack_reply_failed", error="the request names a response_url that is not Slack's")
            return
        error = ""
        for left in reversed(range(TRIES)):
            error = await self._post(url, text)
            if not error:
                return
            if left:
                await asyncio.sleep(PAUSE_SECONDS)
        self._on_fact("slack_reply_failed", error=error)

    async def _post(self, url: str, text: str) -> str:
        """Send it once, and return what went wrong; never the URL, which is a secret for as long as it works."""
        import aiohttp

        try:
            async with self._open().post(url, json=_shown(text), allow_redirects=False) as answer:
                return "" if answer.status == 200 else f"Slack answered {answer.status}"  # noqa: PLR2004 - taken
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return f"Slack cannot be reached: {type(error).__name__}"

    def _open(self) -> "aiohttp.ClientSession":
        import aiohttp

        from responder.clients.sessions import new_session

        if self._session is None:
            self._session = new_session(aiohttp.ClientTimeout(total=TIMEOUT_SECONDS), limit=8)
        return self._session


def _shown(text: str) -> dict[str, object]:
    shown = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    block = {"type": "section", "text": {"type": "plain_text", "text": shown, "emoji": False}}
    fallback = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"response_type": "ephemeral", "replace_original": False, "text": fallback, "blocks": [block]}


def is_slacks(url: str, api_url: str) -> bool:
    """Say whether ``url`` leads to Slack: to its hooks over HTTPS, or to where the configured API is.

    With ``https://slack-gov.com/api/`` configured, ``https://hooks.slack-gov.com`` is Slack's as well.
    """
    try:
        asked, api = urlsplit(url), urlsplit(api_url)
        here, there = _origin(asked), _origin(api)
    except ValueError:
        return False
    if not asked.hostname or asked.username is not None or asked.password is not None or not url.isprintable():
        return False
    hooks = {("https", HOOKS, 443), ("https", f"hooks.{api.hostname}", 443)}
    return here == there or here in hooks


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
