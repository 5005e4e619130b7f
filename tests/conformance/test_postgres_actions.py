"""What the actions on PostgreSQL promise beyond what every action does: whom they spare, what they refuse."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import asyncpg
import pytest
from pydantic import JsonValue, ValidationError

from responder.actions.postgres_set_parameter import _in_unit
from responder.clients.toolbox import PostgresSpec, Toolbox
from responder.domain.errors import Permanent, Uncertain
from responder.domain.records import Record, RecordState
from responder.ports.action import Action, Landed
from tests.bed.postgres import Postgres
from tests.bed.proxy import Mode, proxied
from tests.bed.waiting import eventually
from tests.conformance.action_bed import SECRET, Shape, applied, intended, landed
from tests.conformance.bed_postgres import APP, MORE, SHAPES, TARGET, US, PostgresBed, prepared, shape

IDLE = shape("terminate_idle", in_transaction="0s", max=50)


@pytest.fixture
async def bed(postgres: Postgres) -> AsyncIterator[PostgresBed]:
    url = prepared(postgres)
    async with proxied(url, 5432) as proxy:
        one = PostgresBed(SHAPES["system"], proxy, postgres, url)
        await one.set_up()
        yield one
        await one.tear_down()


@pytest.mark.parametrize("name", MORE)
async def test_other_statements_do_it_as_well(postgres: Postgres, name: str) -> None:
    url, action = prepared(postgres), MORE[name].make()
    async with proxied(url, 5432) as proxy:
        bed = PostgresBed(MORE[name], proxy, postgres, url)
        await bed.set_up()
        world = await bed.world()
        record = await applied(action, bed.tools, TARGET)
        assert await landed(action, record, "do", bed.tools) is Landed.YES
        assert record.observed == record.planned
        assert await bed.holds(record.planned)
        if MORE[name].restores:
            await action.undo(TARGET, record, bed.tools)
            assert await bed.world() == world
        await bed.tear_down()


async def idle(url: str, user: str, application: str) -> "asyncpg.Connection[asyncpg.Record]":
    connection = await asyncpg.connect(
        url.replace("//responder@", f"//{user}@"), server_settings={"application_name": application}
    )
    await connection.execute("BEGIN")
    return connection


async def test_superusers_dumps_replication_and_responders_are_spared(bed: PostgresBed) -> None:
    ours = f"{US}:{SECRET}"
    spared = [
        await idle(bed.url, *who)
        for who in (("responder", "psql"), (APP, "pg_dump"), (APP, "pgBackRest [backup]"), (ours, "responder"))
    ]
    found = (await IDLE.make().snapshot(TARGET, bed.tools)).image
    assert found == {"sessions": []}
    with pytest.raises(ValueError, match="no session"):
        IDLE.make().change(found)
    taken = await idle(bed.url, APP, "shop")
    record = await applied(IDLE.make(), bed.tools, TARGET)
    assert record.observed == {"ended": [taken.get_server_pid()]}
    assert [await one.fetchval("SELECT 1") for one in spared] == [1] * 4
    for one in spared:
        await one.close()


async def test_sessions_of_other_databases_are_none_of_ours(bed: PostgresBed) -> None:
    other = await idle(bed.server.url, APP, "shop")
    assert (await IDLE.make().snapshot(TARGET, bed.tools)).image == {"sessions": []}
    await other.close()


async def test_a_cap_takes_the_longest_first(bed: PostgresBed) -> None:
    first, second = await idle(bed.url, APP, "shop"), await idle(bed.url, APP, "shop")
    record = await applied(shape("terminate_idle", in_transaction="0s", max=1).make(), bed.tools, TARGET)
    assert record.observed == {"ended": [first.get_server_pid()]}
    assert await second.fetchval("SELECT 1") == 1
    await second.close()
    first.terminate()


async def test_a_setting_that_was_there_before_comes_back_as_it_was(bed: PostgresBed) -> None:
    await bed.admin.execute("ALTER SYSTEM SET work_mem = '5MB'")
    await bed._reload()
    action = SHAPES["system"].make()
    record = await applied(action, bed.tools, TARGET)
    await action.undo(TARGET, record, bed.tools)
    world = await bed.world()
    assert isinstance(world, dict)
    assert world["files"] == {"work_mem": "5120kB"}
    assert isinstance(world["in force"], dict)
    assert world["in force"]["work_mem"] == "5120"


@pytest.mark.promise(6)
async def test_what_was_written_and_not_loaded_is_finished_by_sending_again(bed: PostgresBed) -> None:
    action = SHAPES["system"].make()
    record = await intended(action, bed.tools, TARGET)
    await bed.proxy.switch(Mode.LOSE_REPLY, when=b" work_mem", once=True)
    with pytest.raises(Uncertain):
        await action.apply(TARGET, record, bed.tools)
    assert await landed(action, record, "do", bed.tools) is Landed.NO
    assert await action.apply(TARGET, record, bed.tools) == record.planned
    assert await bed.holds(record.planned)
    record = replace(record, state=RecordState.APPLIED, observed=record.planned)
    await action.undo(TARGET, record, bed.tools)
    assert await bed.holds(record.before)


async def test_what_is_loaded_late_is_ours_and_can_be_put_back(
    bed: PostgresBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("responder.actions.postgres_set_parameter.LOADS", 0.2)
    assert bed.server.server is not None
    postmaster, action = bed.server.server.running, SHAPES["system"].make()
    record = await intended(action, bed.tools, TARGET)
    postmaster.pause()  # who passes a reload on to the sessions
    try:
        with pytest.raises(Uncertain, match="has not loaded it yet"):
            await action.apply(TARGET, record, bed.tools)
    finally:
        postmaster.resume()
    assert await eventually(lambda: there(action, record, bed))
    record = replace(record, state=RecordState.APPLIED, observed=record.planned)
    await action.undo(TARGET, record, bed.tools)
    assert await bed.holds(record.before)


async def there(action: Action, record: Record, bed: PostgresBed) -> bool:
    return await landed(action, record, "do", bed.tools) is Landed.YES


@pytest.mark.promise(7)
async def test_a_session_that_was_given_up_is_ended_before_anybody_looks(bed: PostgresBed) -> None:
    """A worker that froze with its lock held can send nothing any more once its successor has looked."""
    action = SHAPES["system"].make()
    record = await intended(action, bed.tools, TARGET)
    async with bed.tools.postgres("main").fenced(record.key("do")) as frozen:
        assert await landed(action, record, "do", bed.tools) is Landed.NO
        with pytest.raises(Uncertain):
            await frozen.change("ALTER SYSTEM SET work_mem = '99MB'")
    assert await bed.changes() == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"parameter": "work_memory", "value": "1MB"}, "may be set"),
        ({"parameter": "max_connections", "value": 300}, "may be set"),
        ({"parameter": "lock_timeout", "value": "1s", "scope": "role", "role": "nobody-here"}, "no role"),
    ],
)
async def test_what_may_not_be_set_is_refused(bed: PostgresBed, arguments: Mapping[str, JsonValue], words: str) -> None:
    with pytest.raises(Permanent, match=words):
        await Shape("postgres.set_parameter", arguments).make().snapshot(TARGET, bed.tools)


async def test_what_takes_a_restart_is_refused_although_it_is_listed(bed: PostgresBed) -> None:
    tools = Toolbox({}, {}, postgres={"main": PostgresSpec(bed.url, frozenset({"max_connections", "no_such_thing"}))})
    with pytest.raises(Permanent, match="restart"):
        await shape("set_parameter", parameter="max_connections", value=300).make().snapshot(TARGET, tools)
    with pytest.raises(Permanent, match="no parameter"):
        await shape("set_parameter", parameter="no_such_thing", value=300).make().snapshot(TARGET, tools)
    with pytest.raises(Permanent, match="may be set"):
        await shape("set_parameter", parameter="work_mem", value=300).make().snapshot(TARGET, tools)
    await tools.close()


@pytest.mark.parametrize(
    "arguments",
    [
        {"parameter": "archive_command", "value": "rm"},
        {"parameter": "shared_preload_libraries", "value": "x"},
        {"parameter": "ssl", "value": "off"},
        {"parameter": "fsync", "value": "off"},
        {"parameter": 'work_mem"; DROP TABLE x; --', "value": "1"},
        {"parameter": "work_mem", "value": "  "},
        {"parameter": "work_mem", "value": "1MB", "scope": "role"},
        {"parameter": "work_mem", "value": "1MB", "role": "app"},
    ],
)
def test_what_must_never_be_set_or_cannot_be_meant_is_refused(arguments: Mapping[str, JsonValue]) -> None:
    with pytest.raises(ValidationError):
        Shape("postgres.set_parameter", arguments).make()


async def test_a_value_cannot_leave_its_quotes(bed: PostgresBed) -> None:
    evil = "1'; ALTER ROLE bed_app SUPERUSER; --"
    action = shape("set_parameter", parameter="work_mem", value=evil, scope="database").make()
    with pytest.raises(Permanent, match="invalid value"):
        await applied(action, bed.tools, TARGET)
    assert not await bed.admin.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = 'bed_app'")


@pytest.mark.parametrize(
    ("written", "kind", "unit", "shown"),
    [
        ("64MB", "integer", "kB", "65536"),
        ("1GB", "integer", "8kB", "131072"),
        ("64", "integer", "kB", "64"),
        ("30s", "integer", "ms", "30000"),
        ("1min", "integer", "s", "60"),
        ("2ms", "real", "ms", "2"),
        ("500us", "real", "ms", "0.5"),
        ("0.05", "real", "", "0.05"),
        ("-1", "integer", "ms", "-1"),
        ("TRUE", "bool", "", "on"),
        ("ALL", "enum", "", "all"),
    ],
)
def test_a_value_is_planned_as_the_server_will_show_it(written: str, kind: str, unit: str, shown: str) -> None:
    assert _in_unit(written, kind, unit) == shown


@pytest.mark.parametrize(
    ("written", "kind", "unit"), [("1MB", "integer", "ms"), ("x", "real", ""), ("maybe", "bool", "")]
)
def test_a_value_that_cannot_be_one_is_refused(written: str, kind: str, unit: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        _in_unit(written, kind, unit)
