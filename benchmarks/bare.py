"""What is left without us: aiohttp, one typed pass over the body, 200. ``python -m benchmarks.bare --port 8080``.

With ``--store`` the body and its alerts are in PostgreSQL before the answer: those that arrive together share one COPY
and one upsert of a row per alert. With ``--target`` a PUT goes there, too, for each alert's ``item``.
"""

import argparse
import asyncio
import json
import uuid

import aiohttp
import asyncpg
from aiohttp import web
from pydantic import TypeAdapter
from typing_extensions import TypedDict


class _Alert(TypedDict):
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: str
    endsAt: str
    generatorURL: str
    fingerprint: str


class _Body(TypedDict):
    version: str
    receiver: str
    groupKey: str
    groupLabels: dict[str, str]
    externalURL: str
    alerts: list[_Alert]


_BODY = TypeAdapter(_Body)
_TABLES = """
CREATE TABLE IF NOT EXISTS bare_bodies (id uuid PRIMARY KEY, body bytea NOT NULL);
CREATE TABLE IF NOT EXISTS bare_alerts (fingerprint text PRIMARY KEY, labels jsonb, annotations jsonb, status text);
"""
_UPSERT = """
INSERT INTO bare_alerts SELECT fingerprint, labels, annotations, status
FROM jsonb_to_recordset($1) AS one(fingerprint text, labels jsonb, annotations jsonb, status text)
ON CONFLICT (fingerprint) DO UPDATE SET labels = excluded.labels, annotations = excluded.annotations,
status = excluded.status
"""

_Waiting = tuple[bytes, _Body, "asyncio.Future[None]"]


class Bare:
    """The server."""

    def __init__(self, store: str, target: str) -> None:
        """Keep nothing without ``store``, change nothing without ``target``."""
        self._store = store
        self._target = target
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._waiting: list[_Waiting] = []
        self._flusher: asyncio.Task[None] | None = None

    async def open(self, _: web.Application) -> None:
        """Connect to what was named."""
        if self._store:
            self._connection = await asyncpg.connect(self._store)
            await self._connection.execute(_TABLES)
        if self._target:
            self._session = aiohttp.ClientSession()

    async def close(self, _: web.Application) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()
        if self._connection is not None:
            await self._connection.close()

    async def receive(self, request: web.Request) -> web.Response:
        """Take one body."""
        raw = await request.read()
        body = _BODY.validate_json(raw)
        if self._connection is not None:
            done = asyncio.get_running_loop().create_future()
            self._waiting.append((raw, body, done))
            if self._flusher is None or self._flusher.done():
                self._flusher = asyncio.create_task(self._flush(self._connection))
            await done
        if self._session is not None:
            for alert in body["alerts"]:
                url = f"{self._target}/admin/{alert['labels']['item']}"
                async with self._session.put(url, json={"workers": 6}) as answer:
                    await answer.read()
        return web.Response(text="accepted\n")

    async def _flush(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:512], self._waiting[512:]
            alerts = {one["fingerprint"]: one for _, body, _ in batch for one in body["alerts"]}
            async with connection.transaction():
                await connection.copy_records_to_table(
                    "bare_bodies", records=[(uuid.uuid4(), raw) for raw, _, _ in batch]
                )
                await connection.execute(_UPSERT, json.dumps(list(alerts.values())))
            for _, _, done in batch:
                done.set_result(None)


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store", default="")
    parser.add_argument("--target", default="")
    given = parser.parse_args()
    bare = Bare(given.store, given.target)
    app = web.Application()
    app.router.add_post("/webhook/{source}", bare.receive)
    app.on_startup.append(bare.open)
    app.on_cleanup.append(bare.close)
    web.run_app(app, host="127.0.0.1", port=given.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
