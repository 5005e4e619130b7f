"""Objects, their versions and their history: what etcd and the watch cache are to a real API server."""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.bed.kube.kinds import Json, Kind, named
from tests.bed.web import JsonObject

Key = tuple[str, str, str]  # resource ("deployments.apps"), namespace, name

_REMEMBERED = 10_000  # changes kept for watches that resume; older ones answer 410


@dataclass(frozen=True, slots=True)
class Change:
    """One step of history; `before` is None for what is new."""

    version: int
    what: str
    kind: Kind
    now: JsonObject
    before: JsonObject | None


@dataclass(slots=True)
class Clock:
    """The cluster's time: the machine's, plus what a test has skipped. A test that passes `fixed` has all of it."""

    skipped: float = 0.0
    fixed: float | None = None

    @classmethod
    def still(cls) -> "Clock":
        """Return a clock that moves only when a test skips time: a busy machine then changes nothing."""
        return cls(fixed=datetime.now(tz=UTC).timestamp())

    def now(self) -> float:
        """Return seconds since 1970."""
        return (datetime.now(tz=UTC).timestamp() if self.fixed is None else self.fixed) + self.skipped

    def stamp(self, later: float = 0.0) -> str:
        """Return now, or `later` seconds from now, as Kubernetes writes it."""
        return stamp(self.now() + later)


def stamp(seconds: float) -> str:
    """Return an instant as Kubernetes writes it: whole seconds, UTC."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instant(text: str) -> float:
    """Return the seconds since 1970 of what `stamp` wrote."""
    return datetime.fromisoformat(text).timestamp()


@dataclass(slots=True)
class Store:
    """All objects. What it hands out is shared: copy before changing (`draft`)."""

    clock: Clock = field(default_factory=Clock)
    version: int = 1
    objects: dict[str, dict[Key, JsonObject]] = field(default_factory=dict)
    history: deque[Change] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    compacted: int = 0
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def get(self, kind: Kind | str, namespace: str, name: str) -> JsonObject | None:
        """Return an object or None."""
        kind = named(kind) if isinstance(kind, str) else kind
        found = self.objects.get(kind.resource, {})
        return found.get((kind.resource, namespace if kind.namespaced else "", name))

    def every(self, kind: Kind | str, namespace: str = "") -> list[JsonObject]:
        """Return the objects of a kind, of all namespaces when none is given, in the order of etcd's keys."""
        kind = named(kind) if isinstance(kind, str) else kind
        found = self.objects.get(kind.resource, {})
        inside = [key for key in found if not namespace or key[1] == namespace]
        return [found[key] for key in sorted(inside)]

    def everything(self) -> Iterator[tuple[str, JsonObject]]:
        """Yield (resource, object) of all there is."""
        for resource, found in list(self.objects.items()):
            for one in list(found.values()):
                yield resource, one

    def put(self, kind: Kind, obj: JsonObject) -> JsonObject:
        """Write `obj` with a new resourceVersion and return it."""
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        key = self._key(kind, obj)
        found = self.objects.setdefault(kind.resource, {})
        before = found.get(key)
        found[key] = obj
        self._tell(Change(self.version, "ADDED" if before is None else "MODIFIED", kind, obj, before))
        return obj

    def remove(self, kind: Kind, obj: JsonObject) -> JsonObject:
        """Forget `obj`; watchers see it with the version of its removal."""
        self.version += 1
        before = self.objects.get(kind.resource, {}).pop(self._key(kind, obj), obj)
        gone = draft(obj)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell(Change(self.version, "DELETED", kind, gone, before))
        return gone

    def since(self, version: int) -> list[Change]:
        """Return the changes after `version`, which must not be older than `oldest`."""
        fresh = []
        for change in reversed(self.history):
            if change.version <= version:
                break
            fresh.append(change)
        return fresh[::-1]

    @property
    def oldest(self) -> int:
        """Return the oldest version that a watch can start after."""
        kept = self.history[0].version - 1 if len(self.history) == _REMEMBERED else 0
        return max(kept, self.compacted)

    def compact(self) -> None:
        """Forget the history, as etcd does every five minutes: older watches and continuations answer 410."""
        self.compacted = self.version
        self.history.clear()

    async def changed(self) -> None:
        """Wait for the next change."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        finally:
            if future in self._waiting:
                self._waiting.remove(future)

    def wake(self) -> None:
        """Wake whoever waits for a change: time was skipped, or a test has told something."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _tell(self, change: Change) -> None:
        self.history.append(change)
        self.wake()

    def _key(self, kind: Kind, obj: JsonObject) -> Key:
        meta = obj["metadata"]
        return kind.resource, meta.get("namespace", "") if kind.namespaced else "", meta["name"]


def draft(obj: JsonObject) -> JsonObject:
    """Return a copy that may be changed."""
    return {key: _copy(one) for key, one in obj.items()}


def _copy(value: Json) -> Json:
    """Copy JSON: several times as fast as `copy.deepcopy`, which looks for circles."""
    if isinstance(value, dict):
        return {key: _copy(one) for key, one in value.items()}
    return [_copy(one) for one in value] if isinstance(value, list) else value
