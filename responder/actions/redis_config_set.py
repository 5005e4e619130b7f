"""``redis.config_set``: set one parameter of a running Redis, and put the old value back."""

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, field_validator

from responder.domain.errors import Drifted, Permanent, StepError, Temporary, Uncertain
from responder.domain.records import Direction, Record
from responder.ports.action import Action, Landed, Permission, Snapshot, landed_by_value
from responder.ports.inputs import Plain, connection_name
from responder.ports.tools import Redis, RedisSession, Reply, Tools

USUAL = frozenset(
    {
        "active-defrag-cycle-max",
        "active-defrag-cycle-min",
        "activedefrag",
        "hz",
        "lazyfree-lazy-eviction",
        "lazyfree-lazy-expire",
        "lfu-decay-time",
        "lfu-log-factor",
        "maxclients",
        "maxmemory",
        "maxmemory-clients",
        "maxmemory-policy",
        "maxmemory-samples",
        "slowlog-log-slower-than",
        "slowlog-max-len",
        "tcp-keepalive",
        "timeout",
    }
)
"""What may be set where the connection names no parameters: how much is kept, and how long; nothing that is lost."""
NEVER = re.compile(
    r"dir|dbfilename|.*file|.*pass|.*auth|.*user|tls-.*|bind.*|port|unixsocket.*|protected-mode|enable-.*"
    r"|rename-command|loadmodule|slaveof|replicaof|save|append.*"
)
"""What may never be set: where files are written, who may enter, from where data comes and whether it is kept."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,60}")
_AMOUNT = re.compile(r"([0-9]{1,15})(b|k|kb|m|mb|g|gb)?")
_UNITS = {None: 1, "b": 1, "k": 10**3, "kb": 2**10, "m": 10**6, "mb": 2**20, "g": 10**9, "gb": 2**30}
"""As redis.conf defines them."""


class RedisConfigSet(Action):
    """Set a parameter of Redis with `CONFIG SET`; it holds until Redis restarts, or longer with `rewrite`.

    Redis writes its file once it has taken the value. Whether it did is not to be seen afterwards: where that is in
    doubt, for the change or its undo, a person is asked.
    """

    name: ClassVar[str] = "redis.config_set"
    effect: ClassVar[Literal["state", "event"]] = "state"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "session"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "restores"
    evidence: ClassVar[Literal["marker", "value"]] = "value"
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("redis", "config", ("+config|get", "+config|set")),
        Permission("redis", "config, with rewrite", ("+config|rewrite", "+info")),
        Permission("redis", "client", ("+client|id", "+client|setname", "+client|list", "+client|kill")),
    )
    reach: ClassVar[str] = "redis"
    usual: ClassVar[frozenset[str]] = USUAL
    example: ClassVar[str] = """\
redis.config_set:
  parameter: maxmemory-policy
  value: allkeys-lru
"""

    parameter: str = Field(
        description="its name, such as maxmemory-policy; one of the usual ones, or of the connection's `parameters`"
    )
    value: Plain[str | int] = Field(description="what to set it to, as in redis.conf: 512mb, allkeys-lru, 300")

    rewrite: bool = Field(
        default=False, description="write the running configuration into Redis' file as well, and again after an undo"
    )

    @field_validator("parameter")
    @classmethod
    def _settable(cls, parameter: str) -> str:
        lowered = parameter.lower()
        if not _NAME.fullmatch(lowered):
            msg = f"{parameter!r} is not the name of a parameter of Redis"
            raise ValueError(msg)
        if NEVER.fullmatch(lowered):
            msg = f"{parameter} is never set from here: it decides about files, access or replication"
            raise ValueError(msg)
        return lowered

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read the parameter."""
        redis = self._allowed(tools.redis(connection_name(target)), target)
        if self.rewrite and "config_file:/" not in str(await redis.read("INFO", "server")):
            raise Permanent("this Redis runs without a configuration file: there is nothing to rewrite")
        return Snapshot(self._image(await redis.read("CONFIG", "GET", self.parameter)))

    def change(self, before: JsonValue) -> JsonValue:
        """Return the parameter as it will be, in the form in which Redis tells it."""
        old = before.get(self.parameter) if isinstance(before, Mapping) else None
        wanted = str(self.value)
        amount = _AMOUNT.fullmatch(wanted.lower())
        if isinstance(old, str) and old.isdigit() and amount is not None:
            wanted = str(int(amount[1]) * _UNITS[amount[2]])
        return {self.parameter: wanted}

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Set the parameter once, if it still is as it was seen."""
        redis = self._allowed(tools.redis(connection_name(target)), target)
        async with redis.fenced(record.key("do")) as session:
            now = self._image(await session.read("CONFIG", "GET", self.parameter))
            if now == record.planned:
                return now
            if now != record.before:
                raise Temporary(f"{self.parameter} is {_shown(now)} by now, and was {_shown(record.before)}")
            return await self._set(session, record.planned)

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Compare the parameter with what it was and should have become, once nobody can send that any more."""
        async with tools.redis(connection_name(target)).fenced(record.key(direction)) as session:
            now = self._image(await session.read("CONFIG", "GET", self.parameter))
        found = landed_by_value(record, direction, now, record.before)
        # Redis does not tell whether its file holds what it runs with: of a rewrite half is seen, and a person decides.
        return Landed.UNKNOWN if self.rewrite and found is Landed.YES else found

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Set the old value again, unless somebody else has set another one since."""
        async with tools.redis(connection_name(target)).fenced(record.key("undo")) as session:
            now = self._image(await session.read("CONFIG", "GET", self.parameter))
            if now == record.before:
                return
            if now != record.observed:
                raise Drifted(f"{self.parameter} is {_shown(now)}, and was set to {_shown(record.observed)}")
            put_back = await self._set(session, record.before)
        if put_back != record.before:
            raise Uncertain(f"the undo was sent, and {self.parameter} is {_shown(put_back)}")

    async def _set(self, session: RedisSession, image: JsonValue) -> JsonValue:
        value = image[self.parameter] if isinstance(image, Mapping) else None
        if not isinstance(value, str):
            raise Permanent(f"the record holds no value of {self.parameter}")
        read = ("CONFIG", "GET", self.parameter)
        if not self.rewrite:
            *_, reply = await session.change(("CONFIG", "SET", self.parameter, value), read)
            return self._image(reply)
        await session.change(("CONFIG", "SET", self.parameter, value))
        try:
            # Only once the value was taken: the file gets what others have set, too. The gate was passed already.
            await session.read("CONFIG", "REWRITE")
            return self._image(await session.read(*read))
        except StepError as error:
            raise Uncertain(f"{self.parameter} was set, and the file may not be written: {error}") from error

    def _allowed(self, redis: Redis, target: str) -> Redis:
        if self.parameter in (redis.parameters if redis.parameters is not None else USUAL):
            return redis
        where = f"connections.redis.{connection_name(target)}.parameters"
        raise Permanent(f"{self.parameter} is not among the parameters that may be set here; name it in {where}")

    def _image(self, reply: Reply) -> JsonValue:
        pairs = list(reply) if isinstance(reply, list) else []
        found = dict(zip(pairs[::2], pairs[1::2], strict=False))
        if self.parameter not in found:
            raise Permanent(f"this Redis has no parameter {self.parameter}")
        return {self.parameter: str(found[self.parameter])}


def _shown(image: JsonValue) -> str:
    return repr(next(iter(image.values()), "")) if isinstance(image, Mapping) else "unknown"
