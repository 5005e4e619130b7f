"""Looking at the store without changing it: no migration, no lock that outlives the look."""

import asyncio
import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from responder.cli.client import running_url
from responder.cli.findings import Finding, note, well, wrong
from responder.cli.reach import look_at_running
from responder.settings import StoreSettings

_SQLITE = "sqlite:///"
_SECONDS = 5.0
_MIB, _GIB = 2**20, 2**30
_FULL, _SCARCE, _SCARCE_SHARE = 100 * _MIB, _GIB, 0.05
"""Free bytes below which the store's disk is as good as full, and bytes and share below which it is worth knowing."""
_WAL_RESET_FIXED = (3, 51, 3)
"""Before this version two connections that write or checkpoint at once can corrupt a WAL file (sqlite.org/wal.html)."""


_IDENTITY = ("pg_control_system()", "pg_walfile_name(pg_lsn)", "pg_current_wal_lsn()")
_TELLS_WHO_IT_IS = "SELECT " + " AND ".join(f"has_function_privilege('{one}', 'EXECUTE')" for one in _IDENTITY)


async def look_at_store(store: StoreSettings) -> list[Finding]:
    """Say what kind of store it is, whether it can be used, and what is worth knowing about its durability."""
    if store.url.startswith(_SQLITE):
        path = Path(store.url.removeprefix(_SQLITE))
        running = [await asyncio.to_thread(look_at_running, running_url())] if _holder(path) else []
        return [*_sqlite(path), *running]
    return await _postgres(store)


def _sqlite(path: Path) -> list[Finding]:
    folder = next((parent for parent in path.parents if parent.exists()), path.parent)
    found = [*_room(folder), _sqlite_version()]
    holder = _holder(path)
    if holder:
        return [well("store", f"SQLite {path}, in use by {holder}: a running responder"), *found]
    if not _writable(folder):
        # SQLite keeps its log beside the file and makes it anew: a file that is writable is not enough.
        return [wrong("store", f"SQLite {path}: the folder {folder} is not writable for this user"), *found]
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return [wrong("store", f"SQLite {path} is not readable and writable for this user"), *found]
    if not path.exists():
        return [well("store", f"SQLite {path}, made at the first start"), *found]
    return [*_schema(path), *found]


def _room(folder: Path) -> Iterator[Finding]:
    """Say how much the store's disk still takes; on a full one nothing is accepted and nothing is acted on."""
    try:
        disk = shutil.disk_usage(folder)
    except OSError as error:
        yield wrong("disk", f"{folder} cannot be looked at: {error.strerror or error}")
        return
    share = disk.free / disk.total if disk.total else 0.0
    text = f"{folder} has {_size(disk.free)} free, {share:.0%} of {_size(disk.total)}"
    if disk.free < _FULL:
        yield wrong("disk", f"{text}; a full disk stops the responder: make room, or lower retention")
    elif disk.free < _SCARCE or share < _SCARCE_SHARE:
        yield note("disk", f"{text}; make room before it is full")
    else:
        yield well("disk", text)


def _size(count: int) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count // _MIB} MiB"


def _schema(path: Path) -> Iterator[Finding]:
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_SECONDS)
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
            mark = connection.execute("SELECT value FROM meta WHERE key = 'clock'").fetchone() if known else None
        finally:
            connection.close()
    except sqlite3.Error as error:
        yield wrong("store", f"SQLite {path} cannot be read: {error}")
        return
    yield well("store", f"SQLite {path}, schema {row[0] if row else 'empty'}, nobody uses it now")
    if mark:
        yield look_at_clock(str(mark[0]))


def _sqlite_version() -> Finding:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= _WAL_RESET_FIXED:
        return well("sqlite", version)
    text = (
        f"{version} has the WAL-reset bug that 3.51.3 fixed; it needs two writers, and the responder is the only one: "
        "let no other program write to the file"
    )
    return note("sqlite", text)


def _holder(path: Path) -> str:
    """Return who holds the lock beside the file, empty when nobody does."""
    try:
        with path.with_name(f"{path.name}.lock").open(encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return lock.read().strip() or "another process"
    except OSError:
        return ""
    return ""


def _writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


async def _postgres(store: StoreSettings) -> list[Finding]:
    import asyncpg

    try:
        connection = await asyncpg.connect(store.url, password=store.password, timeout=_SECONDS)
        try:
            version = await connection.fetchval("SHOW server_version", timeout=_SECONDS)
            commit = await connection.fetchval("SHOW synchronous_commit", timeout=_SECONDS)
            standbys = await connection.fetchval("SHOW synchronous_standby_names", timeout=_SECONDS)
            attached = await connection.fetchval("SELECT count(*) FROM pg_stat_replication", timeout=_SECONDS)
            tells = await connection.fetchval(_TELLS_WHO_IT_IS, timeout=_SECONDS)
            known = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL", timeout=_SECONDS)
            query = "SELECT version_num FROM alembic_version"
            schema = await connection.fetchval(query, timeout=_SECONDS) if known else None
            query = "SELECT value FROM meta WHERE key = 'clock'"
            mark = await connection.fetchval(query, timeout=_SECONDS) if known else None
        finally:
            await connection.close(timeout=_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as error:
        return [wrong("store", f"{store.place} cannot be used: {str(error) or type(error).__name__}")]
    made = f"schema {schema}" if schema else "its schema is made at the first start"
    text = f"{store.place}, version {version}, {made}"
    found = [well("store", text), _durability(str(commit), str(standbys or ""), attached=int(attached or 0))]
    if not tells:
        found.append(note("failover", f"this role may not call {' and '.join(_IDENTITY)}: a failover is not noticed"))
    return [*found, *([look_at_clock(str(mark))] if mark else [])]


def look_at_clock(mark: str) -> Finding:
    """Say what the store has made of its clock's jumps; ``mark`` is what it keeps of its clock."""
    try:
        kept = json.loads(mark)
        offset, jumped = kept["offset"] / 1e6, kept["jumped_at"]
    except (ValueError, KeyError, TypeError):
        return note("clock", "what the store keeps of its clock cannot be read")
    when = f", last jump {datetime.fromtimestamp(jumped / 1e6, UTC):%Y-%m-%d %H:%M} UTC" if jumped else ""
    if abs(offset) < 1:
        return well("clock", f"as its source says{when}")
    text = f"its source has jumped, and {offset:+.0f} s are added to it{when}; mute and active times go by this clock"
    return note("clock", f"{text}: set the source right, which takes the difference back")


def _durability(commit: str, standbys: str, *, attached: int = 0) -> Finding:
    if not standbys and attached:
        text = (
            f"{attached} standby(s) follow asynchronously: a failover loses the last commits, and with them what was"
            " accepted and what was changed just before; set synchronous_standby_names"
        )
        return note("durability", text)
    if commit in ("off", "local") and (commit == "off" or standbys):
        text = f"synchronous_commit is {commit} here; the responder sets it to on for its own sessions"
        return note("durability", text)
    if not standbys:
        text = f"synchronous_commit={commit}, no synchronous standby: safe against a crash, not against a lost disk"
        return note("durability", text)
    return well("durability", f"synchronous_commit={commit}, synchronous standby {standbys}")
