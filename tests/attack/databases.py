"""``crash`` on databases and machines: SQL and Redis effects, and commands, killed at every point.

The judge is the database itself, and the command's own account of its runs.
"""

import asyncio
import contextlib
import itertools
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import redis

from tests.attack.crash import OutsideWard, Result, discover, pairs, play, singles
from tests.attack.lives import launcher, victim
from tests.attack.points import Mode
from tests.attack.scenarios import Person, Scenario
from tests.bed import ledger_command
from tests.bed.postgres import Postgres, apart, private_cluster
from tests.bed.processes import private_directory
from tests.bed.servers import private_redis
from tests.bed.target_process import target_process

ROLE = "attacked"
_SET_SQL = "postgres.set_parameter:\n      parameter: work_mem\n      value: 64MB\n"
_IN_DATABASE = "      scope: database\n"
_SET_REDIS = "redis.config_set:\n      parameter: maxmemory-policy\n      value: allkeys-lru\n"
_COMMAND = 'command.run:\n      command: note\n      with:\n        item: "{{ labels.item }}"\n'
_NO_UNDO = "undo: none\n    "
_STEPS = {
    "sql-kept": _SET_SQL + _IN_DATABASE,
    "sql-undone": _SET_SQL + _IN_DATABASE,
    "sql-system-undone": _SET_SQL,
    "sql-sessions": _NO_UNDO + 'postgres.terminate_idle:\n      idle: 0s\n      application: "{{ labels.item }}"\n',
    "command-kept": _COMMAND,
    "command-undone": _COMMAND,
    "redis-kept": _SET_REDIS,
    "redis-undone": _SET_REDIS,
    "redis-keys": _NO_UNDO + 'redis.delete_keys:\n      pattern: "{{ labels.item }}:*"\n',
}
_PLAYBOOK = """\
schema: 1
name: NAME
mode: auto
matchers:
  - alertname="NAME"
target: TARGET/{{ labels.item }}
limits:
  mass_failure: off
steps:
  - id: change
    retries: 3
    STEPverify:
  - name: as wanted
    probe: http.get
    with:
      service: checkout
      path: /admin/workers
      pointer: /workers
    equals: WANTED
    within: 250ms
"""


_TARGETS = {"sql": "postgres/main", "redis": "redis/cache", "command": "host/here"}


def _playbook(name: str) -> str:
    """Return the playbook of a scenario: what ends in ``undone`` never helps."""
    target = _TARGETS[name.partition("-")[0]]
    text = _PLAYBOOK.replace("NAME", name).replace("TARGET", target).replace("STEP", _STEPS[name])
    return text.replace("WANTED", "99" if name.endswith("undone") else "2")


def _simply(name: str) -> Callable[[Person, str], None]:
    def play_it(person: Person, item: str) -> None:
        person.fire(name, item)
        person.until(item)

    return play_it


SCENARIOS = tuple(
    Scenario(name, frozenset({("forward", "rolled_back" if name.endswith("undone") else "verified")}), _simply(name))
    for name in _STEPS
)


class Judge(Protocol):
    """A database as it is before a case, and what has become of it."""

    prefix: str

    @property
    def connections(self) -> Mapping[str, object]:
        """How a responder reaches it."""
        ...

    @property
    def commands(self) -> Mapping[str, object]:
        """What it may run."""
        ...

    def prepare(self, name: str, item: str) -> None:
        """Make it as it is before a case."""
        ...

    def landed(self, name: str, item: str) -> tuple[int, str]:
        """Return how many effects it has seen, and how it stands."""
        ...

    def wanted(self, name: str) -> tuple[int, str]:
        """Return what that has to be."""
        ...


class Shop:
    """An application with idle sessions, in a loop of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.sessions: list[object] = []
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def open(self, url: str, name: str) -> None:
        """Open a session called ``name`` that nobody uses."""
        opening = asyncpg.connect(url, server_settings={"application_name": name})
        self.sessions.append(asyncio.run_coroutine_threadsafe(opening, self.loop).result(30))


@dataclass(slots=True)
class SqlJudge:
    """A PostgreSQL of its own; its log has every statement of our role."""

    server: Postgres
    shop: Shop = field(default_factory=Shop)
    prefix: str = "postgres/main"
    commands: Mapping[str, object] = field(default_factory=dict)
    _seen: int = 0

    def set_up(self) -> None:
        """Create what is attacked."""
        self.server.execute(
            f"CREATE ROLE {ROLE} LOGIN",
            "CREATE ROLE shop LOGIN",
            f"GRANT pg_monitor, pg_signal_backend TO {ROLE}",
            f"GRANT SET, ALTER SYSTEM ON PARAMETER work_mem TO {ROLE}",
            f"GRANT EXECUTE ON FUNCTION pg_reload_conf() TO {ROLE}",
            f"ALTER DATABASE postgres OWNER TO {ROLE}",
            f"ALTER ROLE {ROLE} SET log_statement = 'all'",
            f"ALTER ROLE {ROLE} SET log_min_messages = 'log'",
        )

    @property
    def connections(self) -> Mapping[str, object]:
        """How a responder reaches it."""
        return {"postgres": {"main": {"dsn": self.server.url.replace("//responder@", f"//{ROLE}@")}}}

    def prepare(self, name: str, item: str) -> None:
        """Take the settings out, or open a session that is idle."""
        reset = "ALTER DATABASE postgres RESET work_mem"
        self.server.execute(reset, "ALTER SYSTEM RESET work_mem", "SELECT pg_reload_conf()")
        self._seen = len(self._statements())
        if name == "sql-sessions":
            self.shop.open(self.server.url.replace("//responder@", "//shop@"), item)

    def landed(self, name: str, item: str) -> tuple[int, str]:
        """Return how many settings were written, and the one in force; or how many sessions are gone."""
        if name == "sql-sessions":
            alive = self._ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", item)
            return 1 - int(alive), "there" if int(alive) else "ended"
        written = self._statements()[self._seen :]
        if "system" in name:
            # What was written and not loaded is written again: the same, and in force once.
            written = [statement for statement, _ in itertools.groupby(written)]
        # A session of its own: what holds for a database does so from its beginning.
        return len(written), self._ask("SELECT reset_val FROM pg_settings WHERE name = $1", "work_mem")

    def wanted(self, name: str) -> tuple[int, str]:
        """Return what has to be."""
        if name == "sql-sessions":
            return 1, "ended"
        return (2, "4096") if name.endswith("undone") else (1, "65536")

    def _statements(self) -> list[str]:
        assert self.server.server is not None
        text = self.server.server.running.log.read_text(errors="replace")
        return re.findall(r"statement: (ALTER .*)", text)

    def _ask(self, statement: str, value: str) -> str:
        async def ask() -> str:
            connection = await asyncpg.connect(self.server.url)
            try:
                return str(await connection.fetchval(statement, value))
            finally:
                await connection.close()

        return apart(ask)


@dataclass(slots=True)
class RedisJudge:
    """A Redis of its own, which counts the calls that have reached it."""

    url: str
    prefix: str = "redis/cache"
    commands: Mapping[str, object] = field(default_factory=dict)

    @property
    def connections(self) -> Mapping[str, object]:
        """How a responder reaches it."""
        return {"redis": {"cache": {"url": self.url}}}

    def prepare(self, name: str, item: str) -> None:
        """Set the old policy, or a key; and count from here."""
        with self._client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.append(f"{item}:1", "x")
            client.config_resetstat()

    def landed(self, name: str, item: str) -> tuple[int, str]:
        """Return how often the policy was set, and what it is; or how often keys were deleted, and whether they are."""
        with self._client() as client:
            calls = client.info("commandstats")
            if name == "redis-keys":
                # A script that finds its mark deletes nothing.
                return calls.get("cmdstat_unlink", {}).get("calls", 0), str(client.exists(f"{item}:1"))
            policy = client.config_get("maxmemory-policy")["maxmemory-policy"]
            return calls.get("cmdstat_config|set", {}).get("calls", 0), policy

    def wanted(self, name: str) -> tuple[int, str]:
        """Return what has to be."""
        if name == "redis-keys":
            return 1, "0"
        return (2, "noeviction") if name.endswith("undone") else (1, "allkeys-lru")

    def _client(self) -> Any:  # noqa: ANN401 -- redis-py's types leave much untold
        return redis.Redis.from_url(self.url, decode_responses=True)


@dataclass(slots=True)
class CommandJudge:
    """A folder in which a command keeps the account of its runs."""

    folder: Path
    prefix: str = "host/here"

    @property
    def _ledger(self) -> Path:
        return self.folder / "ledger.jsonl"

    @property
    def connections(self) -> Mapping[str, object]:
        """How a responder reaches it: both replicas are on one machine."""
        return {"host": {"here": {"folder": str(self.folder / "journals")}}}

    @property
    def commands(self) -> Mapping[str, object]:
        """What it may run; nobody is asked whether it landed, the journal alone says so."""
        argv = [sys.executable, "-I", "-S", ledger_command.__file__, str(self._ledger), "{{ item }}"]
        parameters = {"item": "[a-z0-9-]+"}
        return {"note": {"argv": [*argv, "busy"], "undo": [*argv, "idle"], "parameters": parameters}}

    def prepare(self, name: str, item: str) -> None:
        """Leave it: an item of its own has no lines yet."""

    def landed(self, name: str, item: str) -> tuple[int, str]:
        """Return how often the item was set, and to what at last."""
        lines = [line["value"] for line in ledger_command.entries(self._ledger) if line["item"] == item]
        return len(lines), lines[-1] if lines else ""

    def wanted(self, name: str) -> tuple[int, str]:
        """Return what has to be."""
        return (2, "idle") if name.endswith("undone") else (1, "busy")


@dataclass(slots=True)
class DatabaseWard(OutsideWard):
    """A victim whose target is a database."""

    judge: Judge | None = None

    def _prepare(self, scenario: Scenario) -> str:
        assert self.judge is not None
        item = f"item-{self.label}-{next(self._numbers)}"
        self.judge.prepare(scenario.name, item)
        self.victim.prefix = self.judge.prefix
        return item

    def _landed(self, scenario: Scenario, name: str, item: str) -> None:
        assert self.judge is not None
        wanted, seen = self.judge.wanted(scenario.name), self.judge.landed(scenario.name, item)
        if seen != wanted:
            found = self.result.findings
            kind = found.repeated if seen[0] > wanted[0] else found.lost if seen[0] < wanted[0] else found.violations
            kind.append(f"{name}: it has seen {seen} instead of {wanted}")


@contextlib.contextmanager
def judges() -> Iterator[Mapping[str, Judge]]:
    """Start both databases, and make room for the commands."""
    with private_cluster() as server, private_redis() as cache, private_directory("commands") as folder:
        sql = SqlJudge(server)
        sql.set_up()
        yield {"sql": sql, "redis": RedisJudge(cache.url), "command": CommandJudge(folder)}


def campaign(
    urls: Sequence[tuple[str, str]], *, every: int = 1, only: Sequence[str] = (), say: Callable[[str], None] = print
) -> Result:
    """Play the scenarios on each (label, store), one store after the other: they share the databases."""
    chosen = [one for one in SCENARIOS if not only or one.name in only]
    total = Result()
    if not chosen:
        return total
    with judges() as by_kind:
        for (label, url), (kind, judge) in itertools.product(urls, by_kind.items()):
            mine = [one for one in chosen if one.name.startswith(kind)]
            if mine:
                total.add(_whole((f"{kind}-{label}", url), judge, mine, every, say))
    return total


def _whole(
    place: tuple[str, str], judge: Judge, scenarios: Sequence[Scenario], every: int, say: Callable[[str], None]
) -> Result:
    label, store = place
    modes: tuple[Mode, ...] = ("kill", "lost") if store == "sqlite" else ("kill", "lost", "freeze")
    playbooks = {f"{one.name}.yaml": _playbook(one.name) for one in scenarios}
    with (
        launcher() as forks,
        target_process() as target,
        victim(
            store, target.url, forks, playbooks=playbooks, connections=judge.connections, commands=judge.commands
        ) as hurt,
    ):
        one = DatabaseWard(label, hurt, target, judge=judge)
        places = discover(one, scenarios=scenarios)
        cases = [*singles(places, *modes, embedded=store == "sqlite", among=scenarios), *pairs(places, among=scenarios)]
        say(f"{label}: {sum(map(len, places.values()))} points in {len(places)} scenarios, {len(cases[::every])} cases")
        return play(one, cases[::every], say)
