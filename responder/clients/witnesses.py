"""The Alertmanagers that can be asked, by source. One answer serves everybody who asks within a few seconds."""

import asyncio
import ssl
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from responder.clients.silencing import SilencingClient
from responder.domain.alerts import Alert
from responder.domain.episodes import Group
from responder.domain.errors import Permanent, ResponderError, StepError
from responder.domain.silences import OURS, made_in
from responder.ports.witness import FRESH_SECONDS, Picture

AGAIN_SECONDS = 1.0
"""An Alertmanager that gave no answer is asked again after this: a storm of alerts must not become one of questions."""


@dataclass(frozen=True, slots=True)
class AlertmanagerSpec:
    """How to reach an Alertmanager's API; ``tls`` is called on first use."""

    url: str
    headers: Mapping[str, str]
    tls: Callable[[], ssl.SSLContext | None]
    proxy: str | None = None


class Witnesses:
    """What the sources show (``ports.witness.Witness``)."""

    def __init__(self, specs: Mapping[str, AlertmanagerSpec]) -> None:
        """Keep the descriptions; nothing is connected before it is used."""
        self._specs = specs
        self._clients: dict[str, SilencingClient] = {}
        self._held: dict[str, Picture] = {}
        self._failed: dict[str, tuple[float, StepError]] = {}
        self._asking: dict[str, asyncio.Task[Picture]] = {}

    @property
    def sources(self) -> Collection[str]:
        """The names of the sources that can be asked."""
        return self._specs.keys()

    async def close(self) -> None:
        """Give every connection back."""
        for task in list(self._asking.values()):
            task.cancel()
        for client in self._clients.values():
            await client.close()

    async def picture(self, source: str, within: float | None = None) -> Picture:
        """See ``ports.witness.Witness.picture``."""
        since = time.monotonic() - (FRESH_SECONDS if within is None else within)
        held = self._held.get(source)
        if held is None or held.read_at < since:
            held = await self._asked(source)
        # An answer that was under way already may have been asked for too early.
        return held if held.read_at >= since else await self._asked(source)

    async def _asked(self, source: str) -> Picture:
        failed = self._failed.get(source)
        if failed is not None and time.monotonic() - failed[0] <= AGAIN_SECONDS:
            raise type(failed[1])(str(failed[1]))
        asking = self._asking.get(source)
        if asking is None:
            asking = asyncio.create_task(self._ask(source), name=f"ask {source}")
            self._asking[source] = asking
            asking.add_done_callback(lambda task: self._answered(source, task))
        # Whoever gives up waiting must not take the answer away from the others.
        return await asyncio.shield(asking)

    async def _ask(self, source: str) -> Picture:
        read_at = time.monotonic()
        try:
            alerts = await self._client(source).alerts()
        except StepError as error:
            self._failed[source] = (time.monotonic(), error)
            raise
        self._failed.pop(source, None)
        self._held[source] = Picture({alert.fingerprint: alert for alert in alerts}, read_at)
        return self._held[source]

    def _answered(self, source: str, task: asyncio.Task[Picture]) -> None:
        self._asking.pop(source, None)
        if not task.cancelled():
            task.exception()  # everybody who asked may have gone: it counts as looked at

    async def group(self, group: Group) -> Sequence[Alert]:
        """See ``ports.witness.Witness.group``."""
        return await self._client(group.source).group(group.receiver, group.labels)

    async def silences_of(self, source: str, run_id: str) -> Collection[str]:
        """See ``ports.witness.Witness.silences_of``."""
        found = await self._client(source).silences()
        return frozenset(one.id for one in found if one.created_by == OURS and made_in(one.comment, run_id))

    async def uptime(self, source: str) -> timedelta:
        """See ``ports.witness.Witness.uptime``."""
        return await self._client(source).uptime()

    def _client(self, source: str) -> SilencingClient:
        if source not in self._clients:
            spec = self._specs.get(source)
            if spec is None:
                raise Permanent(f"the source {source} has no api_url")
            try:
                tls = spec.tls()
            except ResponderError as error:
                raise Permanent(f"the source {source} cannot be asked: {error}") from error
            self._clients[source] = SilencingClient(spec.url, headers=spec.headers, tls=tls, proxy=spec.proxy)
        return self._clients[source]
