"""What the actions on Redis promise beyond what every action does: a full server, whom they spare, what they refuse."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import redis.asyncio
from pydantic import JsonValue, ValidationError
from redis.exceptions import OutOfMemoryError

from responder.clients.toolbox import RedisSpec, Toolbox
from responder.domain.errors import Permanent, Temporary, Uncertain
from responder.domain.records import RecordState
from responder.ports.action import Action, Landed
from tests.bed.processes import account, free_port, private_directory, program, start
from tests.bed.proxy import proxied
from tests.bed.servers import Redis, missing
from tests.conformance.action_bed import ACTIONS, applied, intended, landed
from tests.conformance.bed_redis import SHAPES, TARGET, Admin, RedisBed, shape


@pytest.fixture
async def bed(redis_server: Redis) -> AsyncIterator[RedisBed]:
    async with proxied(redis_server.url, 6379) as proxy:
        admin: Admin = redis.asyncio.Redis.from_url(redis_server.url, decode_responses=True)
        one = RedisBed(SHAPES["config"], proxy, admin, redis_server.url)
        await one.set_up()
        yield one
        await admin.config_set("maxmemory", "0")
        await one.tear_down()
        await admin.aclose()


@pytest.mark.parametrize("name", ["config", "delete", "expire", "purge", "kill"])
async def test_a_full_redis_can_be_helped(bed: RedisBed, name: str) -> None:
    """It refuses every MULTI then, and every write that needs memory."""
    await bed.fill()
    with pytest.raises(OutOfMemoryError):
        await bed.admin.set("more", "x")
    action = SHAPES[name].make()
    record = await applied(action, bed.tools, TARGET)
    assert record.observed == record.planned
    assert await landed(action, record, "do", bed.tools) is Landed.YES


@pytest.mark.promise(7)
async def test_a_connection_that_was_given_up_is_ended_before_anybody_looks(bed: RedisBed) -> None:
    action = SHAPES["config"].make()
    record = await intended(action, bed.tools, TARGET)
    async with bed.tools.redis("cache").fenced(record.key("do")) as frozen:
        assert await landed(action, record, "do", bed.tools) is Landed.NO
        with pytest.raises(Uncertain):
            await frozen.change(("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"))
    assert await bed.changes() == 0


async def test_a_mark_that_may_have_been_lost_proves_nothing(bed: RedisBed) -> None:
    action = SHAPES["delete"].make()
    record = await applied(action, bed.tools, TARGET)
    await bed.admin.delete(f"responder:{record.key('do')}")
    assert await landed(action, record, "do", bed.tools) is Landed.NO  # nobody but a person can have done that
    await bed.admin.config_set("maxmemory-policy", "allkeys-random")
    await bed.fill()
    with pytest.raises(OutOfMemoryError):
        await bed.admin.set("more", "x")  # whatever can be evicted is
    assert await landed(action, record, "do", bed.tools) is Landed.UNKNOWN


async def test_ours_subscribers_and_the_busy_are_spared(bed: RedisBed) -> None:
    subscriber = bed.workers[0].pubsub()
    await subscriber.subscribe("news")
    await bed.worker("responder-two")
    found = (await shape("redis.kill_clients", idle="0s").make().snapshot(TARGET, bed.tools)).image
    assert isinstance(found, dict)
    names = {one["name"] for one in found["clients"]}  # type: ignore[union-attr,call-overload,index]  # objects
    assert "responder-two" not in names
    later = (await shape("redis.kill_clients", idle="1h").make().snapshot(TARGET, bed.tools)).image
    assert later == {"clients": []}
    subscribed = [int(one["id"]) for one in await bed.admin.client_list() if one["sub"] != "0"]
    assert not {one["id"] for one in found["clients"]} & set(subscribed)  # type: ignore[union-attr,call-overload,index]  # as above
    await subscriber.aclose()


async def test_more_keys_than_the_cap_means_none(bed: RedisBed) -> None:
    with pytest.raises(Permanent, match="more than 1 "):
        await shape("redis.delete_keys", pattern="page:*", max=1).make().snapshot(TARGET, bed.tools)
    nothing = shape("redis.delete_keys", pattern="nothing:*").make()
    with pytest.raises(ValueError, match="no key"):
        nothing.change((await nothing.snapshot(TARGET, bed.tools)).image)


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("redis.delete_keys", {"pattern": "*"}),
        ("redis.delete_keys", {"pattern": "a*"}),
        ("redis.delete_keys", {"pattern": "[ab]cd:*"}),
        ("redis.delete_keys", {"pattern": "responder:*"}),
        ("redis.expire_keys", {"pattern": "?age:*", "after": "1h"}),
        ("redis.expire_keys", {"pattern": "page:*", "after": "soon"}),
        ("redis.client_pause", {"writes_for": "2m"}),
        ("redis.config_set", {"parameter": "dir", "value": "/etc"}),
        ("redis.config_set", {"parameter": "requirepass", "value": "x"}),
        ("redis.config_set", {"parameter": "aclfile", "value": "x"}),
        ("redis.config_set", {"parameter": "maxmemory", "value": ""}),
        ("redis.config_set", {"parameter": "max memory", "value": "1"}),
    ],
)
def test_what_is_too_wide_or_must_never_be_is_refused(action: str, arguments: Mapping[str, JsonValue]) -> None:
    with pytest.raises(ValidationError):
        ACTIONS[action].model_validate(arguments)


async def test_parameters_are_those_of_the_connection(bed: RedisBed) -> None:
    tools = Toolbox({}, {}, redis={"cache": RedisSpec(bed.url, parameters=frozenset({"latency-monitor-threshold"}))})
    with pytest.raises(Permanent, match="may be set"):
        await SHAPES["config"].make().snapshot(TARGET, tools)
    listed = shape("redis.config_set", parameter="latency-monitor-threshold", value=5).make()
    assert (await listed.snapshot(TARGET, tools)).image == {"latency-monitor-threshold": "0"}
    with pytest.raises(Permanent, match="may be set"):
        await shape("redis.config_set", parameter="proto-max-bulk-len", value="1mb").make().snapshot(TARGET, bed.tools)
    await tools.close()


async def test_a_value_that_redis_refuses_changes_nothing(bed: RedisBed) -> None:
    action = shape("redis.config_set", parameter="maxmemory-policy", value="whatever").make()
    world = await bed.world()
    with pytest.raises(Permanent, match="CONFIG SET failed"):
        await applied(action, bed.tools, TARGET)
    assert await bed.world() == world


async def test_clients_of_a_server_that_was_restarted_are_others(bed: RedisBed) -> None:
    action = SHAPES["kill"].make()
    record = replace(await intended(action, bed.tools, TARGET), fence="another life")
    with pytest.raises((Permanent, Temporary), match="restarted"):
        await action.apply(TARGET, record, bed.tools)
    assert await landed(action, record, "do", bed.tools) is Landed.YES


@dataclass
class Filed:
    """A Redis with a file that it can rewrite."""

    file: Path
    tools: Toolbox
    admin: Admin

    @property
    def text(self) -> str:
        """What the file holds."""
        return self.file.read_text(encoding="utf-8")


@pytest.fixture
async def filed() -> AsyncIterator[Filed]:
    with private_directory("redis-file", account("redis", "nobody")) as directory:
        file, port = directory / "redis.conf", free_port()
        file.write_text(f'port {port}\nbind 127.0.0.1\nsave ""\nmaxmemory-policy noeviction\n', encoding="utf-8")
        file.chmod(0o666)
        run_as, binary = account("redis", "nobody"), program("redis-server")
        if binary is None:
            missing("Redis")
            return
        child = start("redis", [binary, file], directory=directory, run_as=run_as)
        try:
            await asyncio.to_thread(child.wait_for_port, port)
            url = f"redis://127.0.0.1:{port}/0"
            tools = Toolbox({}, {}, redis={"cache": RedisSpec(url)})
            admin: Admin = redis.asyncio.Redis.from_url(url, decode_responses=True)
            async with admin:
                yield Filed(file, tools, admin)
            await tools.close()
        finally:
            child.stop()


def rewriting(value: str) -> Action:
    return shape("redis.config_set", parameter="maxmemory-policy", value=value, rewrite=True).make()


async def test_a_rewrite_outlives_a_restart_and_so_does_its_undo(filed: Filed) -> None:
    action = rewriting("allkeys-lru")
    record = await applied(action, filed.tools, TARGET)
    assert "maxmemory-policy allkeys-lru" in filed.text
    await action.undo(TARGET, record, filed.tools)
    assert "maxmemory-policy allkeys-lru" not in filed.text


async def test_a_value_that_redis_refuses_rewrites_nothing(filed: Filed) -> None:
    await filed.admin.config_set("timeout", "77")  # for as long as it runs, as somebody else meant it
    with pytest.raises(Permanent, match="CONFIG SET failed"):
        await applied(rewriting("whatever"), filed.tools, TARGET)
    assert "timeout 77" not in filed.text


async def test_a_file_that_was_not_written_is_in_doubt_whichever_way(filed: Filed) -> None:
    action = rewriting("allkeys-lru")
    record = await intended(action, filed.tools, TARGET)
    assert await landed(action, record, "do", filed.tools) is Landed.NO
    await filed.admin.execute_command("ACL", "SETUSER", "default", "-config|rewrite")
    with pytest.raises(Uncertain, match="file may not be written"):
        await action.apply(TARGET, record, filed.tools)
    assert await landed(action, record, "do", filed.tools) is Landed.UNKNOWN
    record = replace(record, state=RecordState.APPLIED, observed=record.planned)
    with pytest.raises(Uncertain, match="file may not be written"):
        await action.undo(TARGET, record, filed.tools)
    assert (await filed.admin.config_get("maxmemory-policy")) == {"maxmemory-policy": "noeviction"}
    assert await landed(action, record, "undo", filed.tools) is Landed.UNKNOWN


async def test_where_there_is_no_file_nothing_is_rewritten(bed: RedisBed) -> None:
    action = shape("redis.config_set", parameter="maxmemory-policy", value="allkeys-lru", rewrite=True).make()
    await bed.admin.execute_command("ACL", "SETUSER", "responder-bed", "+config|rewrite")
    with pytest.raises(Permanent, match="without a configuration file"):
        await action.snapshot(TARGET, bed.tools)
