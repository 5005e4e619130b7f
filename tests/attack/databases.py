"""``crash`` on databases: what is done to PostgreSQL, to its pooler and to Redis, killed at every point.

The judge is the database itself.
"""

import asyncio
import contextlib
import itertools
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import redis

from responder.clients.pgbouncer import PgbouncerClient
from tests.attack.wards import NO_UNDO, UNDONE, UNSURE, Judge, Kind, Seen, step
from tests.bed.postgres import Postgres, apart, private_cluster
from tests.bed.servers import private_redis
from tests.conformance.bed_pgbouncer import private_pgbouncer

ROLE = "attacked"
TABLE = "public.orders"
POOLED = "shop"
_SET_SQL = "postgres.set_parameter:\n      parameter: work_mem\n      value: 64MB\n"
_IN_DATABASE = "      scope: database\n"
_OF_ITEM = '      application: "{{ labels.item }}"\n'
_SET_REDIS = "redis.config_set:\n      parameter: maxmemory-policy\n      value: allkeys-lru\n"
_KEYS = '      pattern: "{{ labels.item }}:*"\n'
_EXPIRE = "redis.expire_keys:\n" + _KEYS + "      after: 1h\n"
_PAUSE = UNSURE + "redis.client_pause:\n      writes_for: 1s\n"
_HELD = step(f"{UNSURE}postgres.pool_pause:\n      database: {POOLED}\n") + step(
    f"{NO_UNDO}{UNSURE}postgres.pool_resume:\n      database: {POOLED}\n", name="go-on"
)
_POOL = UNSURE + "postgres.pool_size:\n      size: 40\n"
_CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
_ACTIVE = f"{_CONNECTED} AND state = 'active'"
_WAITING = f"{_CONNECTED} AND wait_event_type = 'Lock'"
_SQL = {
    "sql-kept": _SET_SQL + _IN_DATABASE,
    "sql-undone": _SET_SQL + _IN_DATABASE,
    "sql-system-undone": _SET_SQL,
    "sql-sessions": NO_UNDO + "postgres.terminate_idle:\n      idle: 0s\n" + _OF_ITEM,
    "sql-queries": NO_UNDO + "postgres.cancel_long_queries:\n      longer_than: 0s\n" + _OF_ITEM,
    "sql-blockers": NO_UNDO + "postgres.cancel_blockers:\n      waiting: 0s\n      terminate: true\n" + _OF_ITEM,
    "sql-vacuum": NO_UNDO + f"postgres.vacuum_analyze:\n      table: {TABLE}\n",
}
_REDIS = {
    "redis-kept": _SET_REDIS,
    "redis-undone": _SET_REDIS,
    "redis-keys": NO_UNDO + "redis.delete_keys:\n" + _KEYS,
    "redis-expire-kept": _EXPIRE,
    "redis-expire-undone": _EXPIRE,
    "redis-clients": NO_UNDO + 'redis.kill_clients:\n      idle: 0s\n      client: "{{ labels.item }}"\n',
    "redis-purge": NO_UNDO + "redis.memory_purge: {}\n",
    "redis-pause-kept": _PAUSE,
    "redis-pause-undone": _PAUSE,
}


class Shop:
    """An application with idle sessions, in a loop of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.sessions: list[object] = []
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def open(self, url: str, name: str, then: str = "") -> None:
        """Open a session called ``name`` that nobody uses, or that is busy with ``then``."""
        opening = asyncpg.connect(url, server_settings={"application_name": name})
        session = asyncio.run_coroutine_threadsafe(opening, self.loop).result(30)
        self.sessions.append(session)
        if then:
            self.sessions.append(asyncio.run_coroutine_threadsafe(session.execute(then), self.loop))


@dataclass(slots=True)
class SqlJudge:
    """A PostgreSQL of its own; its log has every statement of our role."""

    server: Postgres
    shop: Shop = field(default_factory=Shop)
    path: str = ""
    _seen: int = 0

    def set_up(self) -> None:
        """Create what is attacked."""
        self.server.execute(
            f"CREATE ROLE {ROLE} LOGIN",
            "CREATE ROLE shop LOGIN",
            f"CREATE TABLE {TABLE} (id int)",
            f"ALTER TABLE {TABLE} OWNER TO {ROLE}",
            "CREATE TABLE public.locked (id int)",
            "ALTER TABLE public.locked OWNER TO shop",
            f"GRANT pg_monitor, pg_signal_backend TO {ROLE}",
            f"GRANT SET, ALTER SYSTEM ON PARAMETER work_mem TO {ROLE}",
            f"GRANT EXECUTE ON FUNCTION pg_reload_conf() TO {ROLE}",
            f"ALTER DATABASE postgres OWNER TO {ROLE}",
            f"ALTER ROLE {ROLE} SET log_statement = 'all'",
            f"ALTER ROLE {ROLE} SET log_min_messages = 'log'",
        )

    @property
    def settings(self) -> Mapping[str, Mapping[str, object]]:
        """How a responder reaches it."""
        return {"connections": {"postgres": {"main": {"dsn": self._url(ROLE)}}}}

    def prepare(self, name: str, item: str) -> None:
        """Take the settings out, or open sessions that are in the way."""
        reset = "ALTER DATABASE postgres RESET work_mem"
        self.server.execute(reset, "ALTER SYSTEM RESET work_mem", "SELECT pg_reload_conf()")
        self._seen = len(self._statements())
        if name == "sql-sessions":
            self.shop.open(self._url("shop"), item)
        elif name == "sql-queries":
            self.shop.open(self._url("shop"), item, "SELECT pg_sleep(3600)")
            self._until(_ACTIVE, item)
        elif name == "sql-blockers":
            self.shop.open(self._url("shop"), item, "BEGIN; LOCK TABLE public.locked; SELECT pg_sleep(3600)")
            self._until(_ACTIVE, item)
            self.shop.open(self._url("shop"), f"after {item}", "SELECT count(*) FROM public.locked")
            self._until(_WAITING, f"after {item}")

    def landed(self, name: str, item: str) -> Seen:
        """Return how many settings were written, and the one in force; or how many sessions or statements are gone."""
        if name in {"sql-sessions", "sql-blockers", "sql-queries"}:
            alive = int(self._ask(_ACTIVE if name == "sql-queries" else _CONNECTED, item))
            return 1 - alive, "there" if alive else "ended"
        written = self._statements()[self._seen :]
        if name == "sql-vacuum":
            return len(written), ""
        if "system" in name:
            # What was written and not loaded is written again: the same, and in force once.
            written = [statement for statement, _ in itertools.groupby(written)]
        # A session of its own: what holds for a database does so from its beginning.
        return len(written), self._ask("SELECT reset_val FROM pg_settings WHERE name = $1", "work_mem")

    def wanted(self, name: str) -> Seen:
        """Return what has to be."""
        if name == "sql-vacuum":
            return 1, ""
        if name in {"sql-sessions", "sql-blockers", "sql-queries"}:
            return 1, "ended"
        return (2, "4096") if name.endswith(UNDONE) else (1, "65536")

    def _url(self, role: str) -> str:
        return self.server.url.replace("//responder@", f"//{role}@")

    def _statements(self) -> list[str]:
        assert self.server.server is not None
        text = self.server.server.running.log.read_text(errors="replace")
        return re.findall(r"statement: ((?:ALTER|VACUUM) .*)", text)

    def _until(self, count: str, value: str) -> None:
        until = time.monotonic() + 10
        while self._ask(count, value) == "0":
            assert time.monotonic() < until, count
            time.sleep(0.01)

    def _ask(self, statement: str, value: str) -> str:
        async def ask() -> str:
            connection = await asyncpg.connect(self.server.url)
            try:
                return str(await connection.fetchval(statement, value))
            finally:
                await connection.close()

        return apart(ask)


@dataclass(slots=True)
class PoolerJudge:
    """A PgBouncer's console; its log has what it was asked to set."""

    url: str
    log: Path
    path: str = ""
    _seen: int = 0

    @property
    def settings(self) -> Mapping[str, Mapping[str, object]]:
        """How a responder reaches it."""
        return {"connections": {"pgbouncer": {"main": {"dsn": self.url}}}}

    def prepare(self, name: str, item: str) -> None:
        """Set the old size, let the database go on, and count from here."""
        self._console("SET default_pool_size = 20")
        if self._paused():
            self._console(f"RESUME {POOLED}")
        self._seen = self._sent()

    def landed(self, name: str, item: str) -> Seen:
        """Return how often it was told something, and the size, or whether the database is paused."""
        sent = self._sent() - self._seen
        if name == "pool-held":
            return sent, self._paused() * "paused"
        rows = self._console("SHOW CONFIG")
        return sent, next(row["value"] for row in rows if row["key"] == "default_pool_size")

    def wanted(self, name: str) -> Seen:
        """Return what has to be."""
        if name == "pool-held":
            return 2, ""
        return (2, "20") if name.endswith(UNDONE) else (1, "40")

    def _sent(self) -> int:
        return len(re.findall("got admin query: (SET|PAUSE|RESUME) ", self.log.read_text(errors="replace")))

    def _paused(self) -> bool:
        return any(row["name"] == POOLED and row["paused"] == "1" for row in self._console("SHOW DATABASES"))

    def _console(self, command: str) -> Any:  # noqa: ANN401 - rows
        async def ask() -> Any:  # noqa: ANN401 - rows
            client = PgbouncerClient("admin", self.url)
            return await (client.read if command.startswith("SHOW") else client.change)(command)

        return apart(ask)


@dataclass(slots=True)
class RedisJudge:
    """A Redis of its own, which counts the calls that have reached it."""

    url: str
    path: str = ""
    clients: list[Any] = field(default_factory=list)

    @property
    def settings(self) -> Mapping[str, Mapping[str, object]]:
        """How a responder reaches it."""
        return {"connections": {"redis": {"cache": {"url": self.url}}}}

    def prepare(self, name: str, item: str) -> None:
        """Set the old policy, a key and a client, and count from here."""
        with self._client() as client:
            client.execute_command("CLIENT", "UNPAUSE")
            client.config_set("maxmemory-policy", "noeviction")
            client.append(f"{item}:1", "x")
            client.config_resetstat()
        if name == "redis-clients":
            one = redis.Redis.from_url(self.url, client_name=item, single_connection_client=True)
            one.ping()
            self.clients.append(one)

    def landed(self, name: str, item: str) -> Seen:
        """Return how often it was done, by its own count of calls, and how what was changed stands."""
        with self._client() as client:
            stats = client.info("commandstats")
            calls = sum(stats.get(f"cmdstat_{one}", {}).get("calls", 0) for one in _CALLS[_deed(name)])
            match _deed(name):
                case "redis":
                    return calls, client.config_get("maxmemory-policy")["maxmemory-policy"]
                case "redis-keys" | "redis-expire":
                    # A script that finds its mark does nothing.
                    return calls, str(client.ttl(f"{item}:1") > 0) if "expire" in name else str(
                        client.exists(f"{item}:1")
                    )
                case "redis-clients":
                    there = [one for one in client.client_list() if one["name"] == item]
                    return 1 - len(there), ""
                case _:
                    return calls, ""

    def wanted(self, name: str) -> Seen:
        """Return what has to be."""
        kept, undone = _WANTED[_deed(name)]
        return (2, undone) if name.endswith(UNDONE) else (1, kept)

    def _client(self) -> Any:  # noqa: ANN401 -- redis-py's types leave much untold
        return redis.Redis.from_url(self.url, decode_responses=True)


_CALLS: Mapping[str, Sequence[str]] = {
    "redis": ("config|set",),
    "redis-keys": ("unlink",),
    "redis-expire": ("pexpire", "persist"),
    "redis-clients": (),
    "redis-purge": ("memory|purge",),
    "redis-pause": ("client|pause", "client|unpause"),
}
_WANTED = {
    "redis": ("allkeys-lru", "noeviction"),
    "redis-keys": ("0", ""),
    "redis-expire": ("True", "False"),
    "redis-clients": ("", ""),
    "redis-purge": ("", ""),
    "redis-pause": ("", ""),
}
"""How it stands when it was kept, and when it was undone."""


def _deed(name: str) -> str:
    return name.removesuffix(UNDONE).removesuffix("-kept")


@contextlib.contextmanager
def _sql() -> Iterator[Judge]:
    with private_cluster() as server:
        judge = SqlJudge(server)
        judge.set_up()
        yield judge


@contextlib.contextmanager
def _pooler() -> Iterator[Judge]:
    with private_pgbouncer() as server:
        yield PoolerJudge(server.url, server.log)


@contextlib.contextmanager
def _redis() -> Iterator[Judge]:
    with private_redis() as server:
        yield RedisJudge(server.url)


KINDS = {
    "sql": Kind("postgres/main", _SQL, _sql),
    "pool": Kind("pgbouncer/main", {"pool-kept": _POOL, "pool-undone": _POOL, "pool-held": _HELD}, _pooler),
    "redis": Kind("redis/cache", _REDIS, _redis),
}
