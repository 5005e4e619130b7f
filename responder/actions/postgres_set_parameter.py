"""``postgres.set_parameter``: set one parameter, for the server, a database or a role, and put it back."""

import asyncio
import re
import time
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from responder.domain.errors import Drifted, Permanent, StepError, Temporary, Uncertain
from responder.domain.records import Direction, Record
from responder.ports.action import Action, Landed, Permission, Snapshot, landed_by_value
from responder.ports.inputs import Plain, connection_name
from responder.ports.tools import Postgres, PostgresSession, Row, Tools

USUAL = frozenset(
    {
        "autovacuum_analyze_scale_factor",
        "autovacuum_naptime",
        "autovacuum_vacuum_cost_delay",
        "autovacuum_vacuum_cost_limit",
        "autovacuum_vacuum_scale_factor",
        "checkpoint_completion_target",
        "checkpoint_timeout",
        "deadlock_timeout",
        "default_statistics_target",
        "effective_io_concurrency",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "lock_timeout",
        "log_min_duration_statement",
        "maintenance_work_mem",
        "max_parallel_workers_per_gather",
        "max_wal_size",
        "random_page_cost",
        "statement_timeout",
        "temp_file_limit",
        "vacuum_cost_delay",
        "vacuum_cost_limit",
        "work_mem",
    }
)
"""What may be set where the connection names no parameters: how much work is let in, and how long; nothing is lost."""
NEVER = re.compile(
    r".*_(command|library|libraries|directory|directories|file|files|path)|ssl.*|.*password.*|krb_.*|listen_addresses"
    r"|port|fsync|full_page_writes|role|session_authorization|session_replication_role|wal_.*|archive_.*|restore_.*"
    r"|primary_.*|recovery_.*|hba_.*|ident_.*|default_transaction_read_only|zero_damaged_pages|allow_.*|row_security"
)
"""What may never be set: what is run, loaded or read from files, who may enter, and whether data is kept."""
LOADS = 2.0
"""Seconds that the server has to load its files again."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_AMOUNT = re.compile(r"(-?[0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]{0,3})")
_MEMORY = {"B": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
_TIME = {"us": 1, "ms": 10**3, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
_WORDS = {"on": "on", "true": "on", "yes": "on", "1": "on", "off": "off", "false": "off", "no": "off", "0": "off"}
_SERVER = """\
SELECT s.setting AS value, coalesce(s.unit, '') AS unit, s.vartype AS kind, s.context, s.source, s.pending_restart,
  coalesce(s.sourcefile, '') AS file,
  pg_catalog.has_function_privilege('pg_catalog.pg_reload_conf()', 'execute') AS reloads
FROM pg_catalog.pg_settings s WHERE s.name = $1"""
_SCOPED = """\
SELECT (SELECT split_part(c, '=', 1) || '=' || substr(c, length(split_part(c, '=', 1)) + 2)
  FROM pg_catalog.pg_db_role_setting d, pg_catalog.unnest(d.setconfig) c
  WHERE d.setdatabase = {database} AND d.setrole = {role} AND split_part(c, '=', 1) = $1) AS line,
  pg_catalog.current_database()::text AS database, ($2::text IS NULL OR EXISTS (
    SELECT FROM pg_catalog.pg_roles WHERE rolname = $2)) AS known"""
_DATABASE = "(SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
_ROLE = "(SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $2)"
_WRITE = "SELECT pg_catalog.format($1::text, VARIADIC $2::text[]) AS statement"


class PostgresSetParameter(Action):
    """Set a parameter with `ALTER SYSTEM`, `ALTER DATABASE` or `ALTER ROLE`; only what takes no restart.

    For a database or a role it holds for sessions that begin after it. Undo sets the old value again, or takes the
    setting out where there was none.
    """

    name: ClassVar[str] = "postgres.set_parameter"
    effect: ClassVar[Literal["state", "event"]] = "state"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "session"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "restores"
    evidence: ClassVar[Literal["marker", "value"]] = "value"
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("postgres", "roles", ("pg_read_all_settings",)),
        Permission("postgres", "parameter NAME", ("SET", "ALTER SYSTEM")),
        Permission("postgres", "function pg_reload_conf()", ("EXECUTE",)),
        Permission("postgres", "role or database", ("its owner, for these scopes",)),
    )
    reach: ClassVar[str] = "postgres"
    usual: ClassVar[frozenset[str]] = USUAL
    example: ClassVar[str] = """\
postgres.set_parameter:
  parameter: idle_in_transaction_session_timeout
  value: 60s
"""

    parameter: str = Field(
        description="its name, such as work_mem; one of the usual ones, or of the connection's `parameters`"
    )
    value: Plain[str | int | float] = Field(description="what to set it to, as in postgresql.conf: 64MB, 30s, 0.05, on")
    scope: Literal["system", "database", "role"] = Field(
        default="system", description="for the whole server, for the connection's database, or for a role"
    )
    role: str | None = Field(default=None, description="the role, with scope: role")

    @field_validator("parameter")
    @classmethod
    def _settable(cls, parameter: str) -> str:
        lowered = parameter.lower()
        if not _NAME.fullmatch(lowered):
            msg = f"{parameter!r} is not the name of a parameter of PostgreSQL"
            raise ValueError(msg)
        if NEVER.fullmatch(lowered):
            msg = f"{parameter} is never set from here: it decides about files, access or whether data is kept"
            raise ValueError(msg)
        return lowered

    @model_validator(mode="after")
    def _sound(self) -> "PostgresSetParameter":
        if (self.scope == "role") != (self.role is not None):
            msg = "role goes with scope: role, and with nothing else"
            raise ValueError(msg)
        return self

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read the parameter, and where it was set."""
        postgres = self._allowed(tools.postgres(connection_name(target)), target)
        statement, *values = self._reads()
        return Snapshot(self._image(await postgres.read(statement, *values)))

    def change(self, before: JsonValue) -> JsonValue:
        """Return the parameter as it will be, in the unit in which the server tells it."""
        old = before if isinstance(before, Mapping) else {}
        wanted = str(self.value)
        if self.scope == "system":
            wanted = _in_unit(wanted, str(old.get("kind", "")), str(old.get("unit", "")))
        return {**old, "value": wanted, "set": True}

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Set it once, if it still is as it was seen."""
        postgres = self._allowed(tools.postgres(connection_name(target)), target)
        async with postgres.fenced(record.key("do")) as session:
            now = await self._now(session)
            if now == record.planned:
                return now
            if now != record.before:
                raise Temporary(f"{self.parameter} is {_shown(now)} by now, and was {_shown(record.before)}")
            seen = await self._set(session, record.planned)
        if seen == record.before:
            # Written, and in force with the next reload: what is there now is not what this leaves behind.
            raise Uncertain(f"{self.parameter} was set, and is still {_shown(seen)}: the server has not loaded it yet")
        return seen

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Compare it with what it was and should have become, once nobody can send that any more."""
        async with tools.postgres(connection_name(target)).fenced(record.key(direction)) as session:
            now = await self._now(session)
        return landed_by_value(record, direction, now, record.before)

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Set it as it was, or take the setting out, unless somebody else has changed it since."""
        async with tools.postgres(connection_name(target)).fenced(record.key("undo")) as session:
            now = await self._now(session)
            if now == record.before:
                return
            if now != record.observed:
                raise Drifted(f"{self.parameter} is {_shown(now)}, and was set to {_shown(record.observed)}")
            put_back = await self._set(session, record.before)
        if put_back != record.before:
            raise Uncertain(f"the undo was sent, and {self.parameter} is {_shown(put_back)}")

    async def _now(self, session: PostgresSession) -> JsonValue:
        statement, *values = self._reads()
        return self._image(await session.read(statement, *values))

    async def _set(self, session: PostgresSession, image: JsonValue) -> JsonValue:
        """Write the setting; a server-wide one is loaded, and looked for until it shows."""
        wanted = image if isinstance(image, Mapping) else {}
        await session.change(await self._statement(session, wanted))
        try:
            if self.scope != "system":
                return await self._now(session)
            # The second half of what has passed the gate already.
            await session.read("SELECT pg_catalog.pg_reload_conf()")
            until = time.monotonic() + LOADS
            while (now := await self._now(session)) != image and time.monotonic() < until:  # noqa: ASYNC110 - of the server
                await asyncio.sleep(0.02)
        except StepError as error:
            raise Uncertain(f"{self.parameter} was set, and cannot be looked at: {error}") from error
        return now

    async def _statement(self, session: PostgresSession, wanted: Mapping[str, JsonValue]) -> str:
        """Let the server quote: what changes settings takes no parameters."""
        place, names = {
            "system": ("ALTER SYSTEM", []),
            "database": ("ALTER DATABASE %I", [str(wanted.get("database"))]),
            "role": ("ALTER ROLE %I", [str(self.role)]),
        }[self.scope]
        value = [str(wanted.get("value")) + self._unit(wanted)] if wanted.get("set") else []
        form = f"{place} SET %I = %L" if value else f"{place} RESET %I"
        (row,) = await session.read(_WRITE, form, [*names, self.parameter, *value])
        return str(row["statement"])

    def _unit(self, wanted: Mapping[str, JsonValue]) -> str:
        """Return the unit to write: blocks (``8kB``) are counted without one."""
        unit = str(wanted.get("unit") or "")
        return unit if self.scope == "system" and unit[:1].isalpha() and str(wanted.get("value")) != "-1" else ""

    def _reads(self) -> tuple[str, *tuple[object, ...]]:
        if self.scope == "system":
            return (_SERVER, self.parameter)
        role, database = (_ROLE, "0") if self.scope == "role" else ("0", _DATABASE)
        return (_SCOPED.format(role=role, database=database), self.parameter, self.role)

    def _image(self, rows: object) -> JsonValue:
        row: Row = next(iter(rows), {}) if isinstance(rows, list) else {}
        if self.scope != "system":
            return self._scoped(row)
        if not row or row["context"] == "internal":
            raise Permanent(f"this PostgreSQL has no parameter {self.parameter} that can be set")
        if row["context"] == "postmaster" or row["pending_restart"]:
            raise Permanent(f"{self.parameter} takes a restart")
        if row["source"] not in ("default", "configuration file"):
            raise Permanent(f"{self.parameter} is set by its {row['source']}, which goes before the files")
        if row["source"] == "configuration file" and not row["file"]:
            raise Permanent("where a parameter is set cannot be seen: it takes the role pg_read_all_settings")
        if not row["reloads"]:
            raise Permanent("the settings could not be loaded: it takes EXECUTE on the function pg_reload_conf()")
        own = str(row["file"]).endswith("postgresql.auto.conf")
        return {"value": row["value"], "unit": row["unit"], "kind": row["kind"], "set": own}

    def _scoped(self, row: Row) -> JsonValue:
        if not row.get("known"):
            raise Permanent(f"this PostgreSQL has no role {self.role}")
        line = row["line"]
        value = None if line is None else str(line).partition("=")[2]
        return {"value": value, "set": line is not None, "database": row["database"]}

    def _allowed(self, postgres: Postgres, target: str) -> Postgres:
        if self.parameter in (postgres.parameters if postgres.parameters is not None else USUAL):
            return postgres
        where = f"connections.postgres.{connection_name(target)}.parameters"
        raise Permanent(f"{self.parameter} is not among the parameters that may be set here; name it in {where}")


def _in_unit(wanted: str, kind: str, unit: str) -> str:
    """Return a value as ``pg_settings`` shows it; raises ValueError when it cannot be one."""
    if kind == "bool":
        if wanted.lower() not in _WORDS:
            msg = f"{wanted!r} is neither on nor off"
            raise ValueError(msg)
        return _WORDS[wanted.lower()]
    if kind not in ("integer", "real"):
        return wanted.lower() if kind == "enum" else wanted
    found = _AMOUNT.fullmatch(wanted.strip())
    if found is None:
        msg = f"{wanted!r} is not a number with a unit"
        raise ValueError(msg)
    number = float(found[1]) * _factor(found[2], unit)
    return str(round(number)) if kind == "integer" else f"{number:.15g}"


def _factor(given: str, unit: str) -> float:
    if not given:
        return 1.0
    count, base = re.fullmatch(r"([0-9]*)([A-Za-z]*)", unit).groups()  # type: ignore[union-attr]  # it always fits
    for known in (_MEMORY, _TIME):
        if base in known and given in known:
            return known[given] / (known[base] * int(count or 1))
    msg = f"the unit {given} does not fit" + (f"; it is counted in {unit}" if unit else ": it has none")
    raise ValueError(msg)


def _shown(image: JsonValue) -> str:
    return repr(image.get("value")) if isinstance(image, Mapping) else "unknown"
