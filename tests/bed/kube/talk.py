"""Talking to the peer over HTTP, for the peer's own tests."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tests.bed.kube.cluster import Cluster
from tests.bed.kube.kinds import Json, named
from tests.bed.kube.patches import MERGE


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body (JSON where it is) and the headers."""

    status: int
    body: Json
    headers: dict[str, str]

    @property
    def reason(self) -> str:
        """Return the reason of a refusal."""
        return str(self.body.get("reason", ""))


@dataclass(frozen=True, slots=True)
class Talk:
    """A client that sends what it is told, once."""

    session: aiohttp.ClientSession

    async def send(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        how: str = "application/json",
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request; `query` goes into the URL."""
        data = None if body is None else json.dumps(body)
        sent = {"Content-Type": how, **(headers or {})}
        async with self.session.request(method, path, params=query or {}, data=data, headers=sent) as answer:
            text = await answer.text()
            plain = answer.content_type != "application/json" or "watch" in (query or {})
            return Answer(answer.status, text if plain else json.loads(text), dict(answer.headers))

    async def get(self, path: str, **query: str) -> Answer:
        """GET."""
        return await self.send("GET", path, query=query)

    async def patch(self, path: str, body: Json, how: str = MERGE, **query: str) -> Answer:
        """PATCH."""
        return await self.send("PATCH", path, body, how=how, query=query)


@asynccontextmanager
async def talking(cluster: Cluster, token: str = "") -> AsyncIterator[Talk]:
    """Give a client with a token, the administrator's by default. It never sends a thing twice."""
    headers = {"Authorization": f"Bearer {token or cluster.admin}", "User-Agent": "talk/1"}
    async with aiohttp.ClientSession(cluster.url, headers=headers, timeout=aiohttp.ClientTimeout(5)) as session:
        session._retry_connection = False
        yield Talk(session)


def path(kind: str, name: str = "", namespace: str = "shop") -> str:
    """Return the path of an object or a collection."""
    return named(kind).url(namespace, name)
