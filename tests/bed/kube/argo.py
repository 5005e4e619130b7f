"""Argo CD's controller, as far as others can tell: one sync at a time, its history, and the automated sync."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bed.kube.store import draft
from tests.bed.kube.world import World, going
from tests.bed.web import JsonObject


@dataclass(slots=True)
class Applications:
    """Carries out what `operation` asks for. `heads` is the latest revision of each repository."""

    heads: dict[str, str] = field(default_factory=dict)

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for app in world.store.every("Application"):
            if going(app) or "source" not in app["spec"]:
                continue
            if "operation" in app:
                self._finish(world, app, app["operation"])
                yield
            elif self._behind(app):
                sync = {
                    "revision": self._head(app),
                    "prune": app["spec"]["syncPolicy"]["automated"].get("prune", False),
                }
                self._finish(world, app, {"initiatedBy": {"automated": True}, "sync": sync})
                yield

    def _head(self, app: JsonObject) -> str:
        source = app["spec"]["source"]
        return self.heads.get(source["repoURL"]) or str(source.get("targetRevision", "HEAD"))

    def _behind(self, app: JsonObject) -> bool:
        """Whether the automated sync has something to do: a revision is tried once."""
        automated = (app["spec"].get("syncPolicy") or {}).get("automated")
        tried = app.get("status", {}).get("operationState", {}).get("syncResult", {}).get("revision")
        return automated is not None and automated.get("enabled") is not False and tried != self._head(app)

    def _finish(self, world: World, app: JsonObject, operation: JsonObject) -> None:
        sync = operation.get("sync", {})
        revision = sync.get("revision") or self._head(app)
        result = {"revision": revision, "source": sync.get("source", app["spec"]["source"])}
        stamp = world.store.clock.stamp()

        def edit(body: JsonObject) -> None:
            body.pop("operation", None)
            status = body.setdefault("status", {})
            status["operationState"] = {
                "phase": "Succeeded",
                "operation": draft(operation),
                "syncResult": result,
                "startedAt": stamp,
                "finishedAt": stamp,
            }
            status["sync"] = {"status": "Synced" if revision == self._head(app) else "OutOfSync", **result}
            done = status.setdefault("history", [])
            number = max((one["id"] for one in done), default=0) + 1
            done.append({"id": number, "deployedAt": stamp, **result})

        world.change(app, edit)
