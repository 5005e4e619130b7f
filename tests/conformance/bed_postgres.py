"""The actions on PostgreSQL, on a real one behind a proxy, with exactly the rights that the how-to page names.

What is judged is what the server says: its sessions, its settings and files, and the statements in its own log.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import pytest
from pydantic import JsonValue

from responder.clients.toolbox import PostgresSpec, Toolbox
from responder.domain.errors import Temporary
from tests.bed.postgres import Postgres
from tests.bed.proxy import Mode, Proxy, proxied
from tests.bed.waiting import eventually
from tests.conformance.action_bed import SECRET, Bed, BedKind, ProxiedBed, Shape

TARGET = "postgres/main"
US, APP = "bed_responder", "bed_app"
GRANTS = (
    f"CREATE ROLE {US} LOGIN PASSWORD '{SECRET}'",
    f"CREATE ROLE {APP} LOGIN",
    f"GRANT pg_monitor, pg_signal_backend TO {US}",
    f"GRANT SET, ALTER SYSTEM ON PARAMETER work_mem TO {US}",
    f"GRANT EXECUTE ON FUNCTION pg_reload_conf() TO {US}",
    # Not of the how-to page: how this bed hears of what we do.
    f"ALTER ROLE {US} SET log_statement = 'all'",
    f"ALTER ROLE {US} SET log_min_messages = 'log'",
    "CREATE TABLE things (n int)",
    "CREATE TABLE others (n int)",
    f"GRANT ALL ON things, others TO {APP}",
)


def shape(action: str, *, single: bool = False, **arguments: JsonValue) -> Shape:
    """Return a shape of an action on PostgreSQL."""
    return Shape(f"postgres.{action}", arguments, single=single, target=TARGET)


SHAPES = {
    "idle": shape("terminate_idle", in_transaction="0s", application="shop-*", max=50),
    "queries": shape("cancel_long_queries", longer_than="0s", user=APP),
    "blockers": shape("cancel_blockers", waiting="0s", terminate=True),
    "system": shape("set_parameter", parameter="work_mem", value="64MB"),
    "database": shape("set_parameter", parameter="work_mem", value="64MB", scope="database"),
    "vacuum": shape("vacuum_analyze", single=True, table="public.things"),
}

MORE = {
    "blockers, cancelled": shape("cancel_blockers", waiting="0s"),
    "role": shape("set_parameter", parameter="work_mem", value="64MB", scope="role", role=US),
}
"""Shapes that differ in their statements only: they are carried out, and that is enough."""


class Client:
    """A session of the application: idle within a transaction, at a statement, or with a lock."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", then: str) -> None:
        self.connection, self.then = connection, then
        self.task: asyncio.Task[Any] | None = None

    async def again(self) -> None:
        """Begin what it does, or do it anew."""
        if self.task is not None:
            await asyncio.gather(self.task, return_exceptions=True)
        if not self.connection.is_in_transaction():
            await self.connection.execute("BEGIN")
        if self.then:
            self.task = asyncio.create_task(self.connection.execute(self.then))
        else:
            await self.connection.execute("SELECT 1")

    async def close(self) -> None:
        """Go away."""
        self.connection.terminate()
        if self.task is not None:
            await asyncio.gather(self.task, return_exceptions=True)


HEARD_WITHIN = 5
"""Looks within which a client has heard of its end."""


class PostgresBed(ProxiedBed):
    """A database, and an application at work in it."""

    landing = ("lost_reply",)
    losing = ("lost_request",)
    refusals = {"refused": Temporary}  # noqa: RUF012 - never written
    telling = ("", "refused")
    unreadable = ("refused",)

    def __init__(self, shape: Shape, proxy: Proxy, server: Postgres, url: str) -> None:
        self.shape, self.proxy, self.server, self.url = shape, proxy, server, url
        specs = {"main": PostgresSpec(proxy.through(url.replace("//responder@", f"//{US}:{SECRET}@")))}
        self.tools = self.hasty = Toolbox({}, {}, postgres=specs)
        self.clients: list[Client] = []
        self.started = 0
        self._log = 0

    async def set_up(self) -> None:
        self.admin = await asyncpg.connect(self.url)
        self.settings = "set_parameter" in self.shape.action
        await self._settle()
        self._log = len(self._statements())
        if not self.settings and not self.shape.single:
            for _ in range(2 if "blockers" not in self.shape.action else 1):
                await self._client()

    async def _settle(self) -> None:
        for name in ("work_mem", "maintenance_work_mem"):
            await self.admin.execute(f"ALTER SYSTEM RESET {name}")
        await self.admin.execute(f'ALTER DATABASE "{self._database}" RESET ALL')
        await self.admin.execute(f"ALTER ROLE {US} RESET work_mem")
        await self._reload()

    async def _reload(self) -> None:
        loaded = await self.admin.fetchval("SELECT pg_conf_load_time()")
        await self.admin.execute("SELECT pg_reload_conf()")

        async def fresh() -> bool:
            return bool(await self.admin.fetchval("SELECT pg_conf_load_time()") != loaded)

        await eventually(fresh)

    @property
    def _database(self) -> str:
        return self.url.rpartition("/")[2]

    async def _client(self) -> None:
        number = len(self.clients)
        table = "things" if not number else "others"
        locks = "blockers" in self.shape.action
        at_work = locks and not self.shape.arguments.get("terminate")
        connection = await self._connect(f"shop-{number}")
        if locks:
            await connection.execute("BEGIN")
            await connection.execute(f"LOCK TABLE {table}")
        client = Client(connection, "SELECT pg_sleep(60)" if at_work or "queries" in self.shape.action else "")
        await client.again()
        self.clients.append(client)
        if locks:
            waiter = Client(await self._connect(f"waiter-{number}"), f"LOCK TABLE {table}")
            await waiter.again()
            self.clients.append(waiter)
        await eventually(self._all_at_it)

    async def _connect(self, name: str) -> "asyncpg.Connection[asyncpg.Record]":
        url = self.url.replace("//responder@", f"//{APP}@")
        return await asyncpg.connect(url, server_settings={"application_name": name})

    async def _all_at_it(self) -> bool:
        waiting = await self.admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND waitstart IS NOT NULL")
        locks = "blockers" in self.shape.action
        return await self._busy() and (not locks or waiting >= len(self.clients) // 2)

    async def _busy(self) -> bool:
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND application_name ~ '^shop'"
        wanted = sum("sleep" in client.then for client in self.clients)
        return bool(await self.admin.fetchval(sleeping) >= wanted)

    async def tear_down(self) -> None:
        await self.heal()
        await self.tools.close()
        ending = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = ANY($1)"
        await self.admin.fetch(ending, [APP, US])
        for client in self.clients:
            await client.close()
        await self._settle()
        await self.admin.close()

    def _statements(self) -> list[str]:
        assert self.server.server is not None
        text = self.server.server.running.log.read_text(errors="replace")
        return re.findall(r"(?:statement|execute \S+): ((?:ALTER|VACUUM).*)", text)

    async def _there(self) -> list[str]:
        rows = await self.admin.fetch(
            "SELECT application_name || ' ' || state AS it FROM pg_stat_activity"
            " WHERE usename = $1 AND datname = current_database() ORDER BY 1",
            APP,
        )
        return [row["it"] for row in rows]

    async def world(self) -> JsonValue:
        files = await self.admin.fetch("SELECT name, setting FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'")
        scoped = await self.admin.fetch(
            "SELECT setrole::int, unnest(setconfig) AS line FROM pg_db_role_setting"
            " WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) ORDER BY 1, 2"
        )
        shown = await self.admin.fetch("SELECT name, reset_val FROM pg_settings WHERE name LIKE '%work_mem' ORDER BY 1")
        return {
            "files": {row["name"]: row["setting"] for row in files},
            "scoped": [f"{row['setrole']} {row['line']}" for row in scoped],
            "in force": {row["name"]: row["reset_val"] for row in shown},
            "sessions": [*await self._there()],
        }

    async def changes(self) -> int:
        if self.settings or self.shape.single:
            return len(self._statements()) - self._log
        roots = [client for client in self.clients if not client.then.startswith("LOCK")]
        for _ in range(HEARD_WITHIN):
            if any(one.connection.is_closed() or (one.task is not None and one.task.done()) for one in roots):
                return 1
            await asyncio.sleep(0.03)  # a client hears a moment later that its session was ended
        return 0

    async def holds(self, image: JsonValue) -> bool:
        assert isinstance(image, dict)
        if "ended" in image:
            cancels = self.shape.make().cancels  # type: ignore[attr-defined]  # of PostgresSessions
            counted = (
                "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1::int[]) AND (NOT $2 OR state = 'active')"
            )
            return not await self.admin.fetchval(counted, image["ended"], cancels)
        if "done" in image:
            return bool(image["done"]) is bool(await self.changes())
        row = await self.admin.fetchval("SELECT reset_val FROM pg_settings WHERE name = 'work_mem'")
        if self.shape.arguments.get("scope", "system") == "system":
            return bool(row == image["value"])
        world = await self.world()
        scoped = world["scoped"] if isinstance(world, dict) else None
        return (f"work_mem={image['value']}" in str(scoped)) is bool(image["set"])

    async def fault(self, kind: str) -> None:
        if kind == "refused":
            await self.proxy.switch(Mode.REFUSE)
            return
        lost = Mode.LOSE_REPLY if kind == "lost_reply" else Mode.LOSE_REQUEST
        if kind == "lost_reply" and self.shape.arguments.get("scope", "system") == "system" and self.settings:
            # What was written is in force once it is loaded: that is the effect.
            await self.proxy.switch(lost, when=b"SELECT pg_catalog.pg_reload_conf()", once=True, skip=1)
            return
        if self.settings or self.shape.single:
            await self.proxy.switch(lost, when=b" work_mem" if self.settings else b"SKIP_LOCKED) public", once=True)
            return
        await self.proxy.switch(lost, when=b"_backend(a.pid)", once=True, skip=1)

    async def edit_owned(self) -> None:
        if self.settings:
            place = {"system": "SYSTEM", "database": f'DATABASE "{self._database}"', "role": f"ROLE {US}"}
            scope = str(self.shape.arguments.get("scope", "system"))
            await self.admin.execute(f"ALTER {place[scope]} SET work_mem = '77MB'")
            await self._reload()
            return
        for client in [one for one in self.clients if not one.then.startswith("LOCK")]:
            if client.task is not None:
                await self.admin.execute(f"SELECT pg_cancel_backend({client.connection.get_server_pid()})")
                await asyncio.gather(client.task, return_exceptions=True)
                await client.connection.execute("ROLLBACK")
            await client.again()
        await eventually(self._busy)

    async def edit_beside(self) -> None:
        if self.settings:
            await self.admin.execute("ALTER SYSTEM SET maintenance_work_mem = '70MB'")
            await self._reload()
        elif not self.shape.single:
            await self._client()


def prepared(server: Postgres) -> str:
    """Return the URL of the database that the tests of one worker share, with our role and its rights."""

    def fill(url: str) -> None:
        server.execute(*GRANTS, f'ALTER DATABASE "{url.rpartition("/")[2]}" OWNER TO {US}', url=url)

    return server.url_of(server.template("targets", fill))


@asynccontextmanager
async def _on(shape: Shape, server: Postgres, url: str) -> AsyncIterator[Bed]:
    async with proxied(url, 5432) as proxy:
        bed = PostgresBed(shape, proxy, server, url)
        await bed.set_up()
        try:
            yield bed
        finally:
            with contextlib.suppress(asyncpg.PostgresError):
                await bed.tear_down()


def opened(request: pytest.FixtureRequest, shape: Shape) -> AbstractAsyncContextManager[Bed]:
    """Open a bed on the session's PostgreSQL, in a database that its tests share."""
    server: Postgres = request.getfixturevalue("postgres")
    if server.server is None:
        pytest.skip("it reads the server's own log, and this server is somebody else's")
    return _on(shape, server, prepared(server))


KIND = BedKind(SHAPES, PostgresBed, opened, server=True)
