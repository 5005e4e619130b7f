"""What the console's client and ``postgres.pool_size`` promise beyond the suite, on a real PgBouncer."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from responder.clients.pgbouncer import PgbouncerClient
from responder.domain.errors import Moved, Permanent, Temporary
from tests.bed.processes import free_port
from tests.bed.servers import missing
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
