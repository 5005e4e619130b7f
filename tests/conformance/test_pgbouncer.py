"""What the console's client and its actions promise beyond the suite, on a real PgBouncer."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import asyncpg
import pytest

from responder.app import catalogue
from responder.clients.pgbouncer import PgbouncerClient
from responder.clients.toolbox import PoolerSpec, Toolbox
from responder.domain.errors import Moved, Permanent, PlaybookError, Temporary
from responder.playbook.schema import load_playbook
from tests.bed.postgres import Postgres
from tests.bed.processes import free_port
from tests.bed.servers import missing
from tests.bed.waiting import eventually
from tests.conformance.action_bed import SECRET, applied, intended
from tests.conformance.bed_pgbouncer import SHAPES, TARGET, Pgbouncer, PgbouncerBed, on, private_pgbouncer


@pytest.fixture
async def bed(pgbouncer: Pgbouncer) -> AsyncIterator[PgbouncerBed]:
    async with on(pgbouncer) as one:
        yield one


@pytest.mark.parametrize("auth", ["plain", "md5", "scram-sha-256"])
async def test_the_console_lets_in_who_knows_the_password_and_nobody_else(auth: str) -> None:
    running = private_pgbouncer(auth)
    try:
        server = await asyncio.to_thread(running.__enter__)
    except FileNotFoundError:
        missing("PgBouncer")
        return
    try:
        rows = await PgbouncerClient("main", server.url).read("SHOW CONFIG")
        assert {"key", "value"} <= rows[0].keys()
        assert any(row["key"] == "default_pool_size" for row in rows)
        with pytest.raises(Permanent) as raised:
            await PgbouncerClient("main", server.url.replace(SECRET, "wrong-password")).read("SHOW CONFIG")
        assert "wrong-password" not in str(raised.value)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def test_what_the_console_refuses_was_not_done_and_who_is_not_there_is_asked_again(bed: PgbouncerBed) -> None:
    with pytest.raises(Permanent):
        await bed.admin.change("SET no_such_setting = 1")
    nobody = PgbouncerClient("main", f"postgresql://a:b@127.0.0.1:{free_port()}/pgbouncer")
    with pytest.raises(Temporary):
        await nobody.change("SET default_pool_size = 1")


async def test_a_size_that_somebody_has_changed_since_the_plan_is_planned_again(bed: PgbouncerBed) -> None:
    action = SHAPES["pool"].make()
    record = await intended(action, bed.tools, TARGET)
    await bed.edit_owned()
    with pytest.raises(Moved, match="default_pool_size is 33 by now"):
        await action.apply(TARGET, record, bed.tools)
    record = await applied(action, bed.tools, TARGET)
    await action.undo(TARGET, record, bed.tools)
    assert await bed.holds({"default_pool_size": 33})


# --- paused ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def before_a_database(postgres: Postgres) -> Iterator[Pgbouncer]:
    """Give a PgBouncer whose databases are there."""
    where = urlsplit(postgres.url)
    try:
        running = private_pgbouncer("plain", f"host={where.hostname} port={where.port} dbname=postgres user=responder")
        with running as server:
            yield server
    except FileNotFoundError:
        missing("PgBouncer")


async def test_a_pause_waits_for_nobody_and_lets_everybody_wait(before_a_database: Pgbouncer) -> None:
    """A transaction goes on for as long as it likes; it is the console that does not answer before it has ended."""
    console = PoolerSpec(before_a_database.url, timeout=timedelta(seconds=0.3))
    tools = Toolbox({}, {}, poolers={"main": console})
    look = catalogue().probes["postgres.pool"]

    async def read(figure: str) -> object:
        probe = look.model_validate({"connection": "main", "database": "shop", "read": figure})
        return (await probe.look({}, tools)).values[0]

    shop = before_a_database.url.replace("/pgbouncer", "/shop")
    slow, other = await asyncpg.connect(shop, statement_cache_size=0), await asyncpg.connect(shop)
    async with slow.transaction():
        await slow.execute("SELECT 1")
        action = SHAPES["pause"].make()
        snapshot = await action.snapshot(TARGET, tools)
        assert snapshot.note == "PgBouncer holds back shop; clients are turned away when they have waited for 120 s"
        record = await applied(action, tools, TARGET)
        assert record.observed == {"paused": True}
        assert (await read("paused"), await read("servers")) == (1.0, 1.0)
        waiting = asyncio.create_task(other.execute("SELECT 1"))

        async def waits() -> bool:
            return await read("waiting") == 1.0

        assert await eventually(waits)
        await slow.execute("SELECT 1")

    async def quiet() -> bool:
        return await read("servers") == 0.0

    assert await eventually(quiet)
    assert not waiting.done()
    await action.undo(TARGET, record, tools)
    assert await waiting == "SELECT 1"
    assert not await action.drifted(TARGET, record, tools), "what somebody has resumed is undone"
    await slow.close()
    await other.close()


PLAYBOOK = """\
schema: 1
name: hold
summary: Let clients wait.
mode: approve
matchers:
  - alertname="A"
target: pgbouncer/main
REST
verify:
  - query: up
    above: 0
"""
PAUSE = "steps:\n  - postgres.pool_pause: { database: shop }\n"
RESUME = "  - postgres.pool_resume: { database: shop }\n    undo: none\n"


@pytest.mark.parametrize(
    ("rest", "ends"),
    [
        (PAUSE, False),
        (PAUSE + RESUME, True),
        (PAUSE + RESUME.replace("shop", "other"), False),
        (RESUME.replace("  -", "steps:\n  -", 1) + PAUSE.removeprefix("steps:\n"), False),
        (PAUSE + "    undo: manual\n" + RESUME, False),
        (PAUSE + "revert_after: 30s", True),
        (PAUSE + "revert_after: 30s\non_failure: keep", False),
    ],
)
def test_a_playbook_that_pauses_says_what_ends_it(rest: str, ends: bool) -> None:  # noqa: FBT001 - a case
    text = PLAYBOOK.replace("REST", rest)
    if ends:
        load_playbook(text, "hold.yaml", catalogue(), None)
        return
    with pytest.raises(PlaybookError) as raised:
        load_playbook(text, "hold.yaml", catalogue(), None)
    assert [one.rule for one in raised.value.complaints if one.severity == "error"] == ["never-ended"]
