"""``redis.info``: one figure out of what Redis tells of itself."""

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from responder.ports.probe import Probe, Reading
from responder.ports.tools import Reply, Tools

Info = Mapping[str, str]
Figure = Literal[
    "memory_ratio",
    "fragmentation_ratio",
    "hit_ratio",
    "evicted_keys",
    "expired_keys",
    "connected_clients",
    "blocked_clients",
    "clients_ratio",
    "rejected_connections",
    "operations_per_second",
    "connected_replicas",
    "replica_lag_bytes",
    "primary_link_up",
]


class RedisInfo(Probe):
    """Read one figure of a named Redis; a share is between 0 and 1. What cannot be computed is no data."""

    name: ClassVar[str] = "redis.info"
    example: ClassVar[str] = """\
name: memory
probe: redis.info
with: { connection: cache, figure: memory_ratio }
below: 90%
within: 1m
"""

    connection: str = Field(description='a name under connections.redis, or "{{ connection }}"')
    figure: Figure = Field(
        description="what to read; memory_ratio has no value without maxmemory, hit_ratio none without a read, "
        "replica_lag_bytes none on a replica whose link to its primary is down"
    )

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the figure."""
        info = fields_of(await tools.redis(self.connection).read("INFO"))
        value = FIGURES[self.figure](info)
        return Reading(()) if value is None or not math.isfinite(value) else Reading((value,))


def fields_of(reply: Reply) -> Info:
    """Read the lines of INFO."""
    return dict(line.partition(":")[::2] for line in str(reply).splitlines() if ":" in line)


def _number(info: Info, name: str) -> float | None:
    try:
        return float(info[name])
    except (KeyError, ValueError):
        return None


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _plain(name: str) -> Callable[[Info], float | None]:
    return lambda info: _number(info, name)


def _hits(info: Info) -> float | None:
    hits, misses = _number(info, "keyspace_hits"), _number(info, "keyspace_misses")
    return None if hits is None or misses is None else _share(hits, hits + misses)


def _lag(info: Info) -> float | None:
    """Return how many bytes the slowest replica is behind, or how many a replica is behind its primary.

    A replica without its primary cannot know: it has done all that it has read.
    """
    offset = _number(info, "master_repl_offset")
    if info.get("role") == "slave":
        if not _link(info):
            return None
        read = _number(info, "slave_read_repl_offset")
        done = _number(info, "slave_repl_offset")
        return None if read is None or done is None else read - done
    replicas = [
        float(part.partition("=")[2])
        for name, text in info.items()
        if name.startswith("slave") and name[5:].isdigit()
        for part in text.split(",")
        if part.startswith("offset=")
    ]
    return None if offset is None or not replicas else max(offset - one for one in replicas)


def _link(info: Info) -> float | None:
    status = info.get("master_link_status")
    return None if status is None else float(status == "up")


FIGURES: Mapping[str, Callable[[Info], float | None]] = {
    "memory_ratio": lambda info: _share(_number(info, "used_memory"), _number(info, "maxmemory")),
    "fragmentation_ratio": _plain("mem_fragmentation_ratio"),
    "hit_ratio": _hits,
    "evicted_keys": _plain("evicted_keys"),
    "expired_keys": _plain("expired_keys"),
    "connected_clients": _plain("connected_clients"),
    "blocked_clients": _plain("blocked_clients"),
    "clients_ratio": lambda info: _share(_number(info, "connected_clients"), _number(info, "maxclients")),
    "rejected_connections": _plain("rejected_connections"),
    "operations_per_second": _plain("instantaneous_ops_per_sec"),
    "connected_replicas": _plain("connected_slaves"),
    "replica_lag_bytes": _lag,
    "primary_link_up": _link,
}
"""How each figure follows from INFO."""
