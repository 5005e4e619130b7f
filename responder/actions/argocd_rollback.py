"""``argocd.rollback`` and ``argocd.sync``: which revision Argo CD has deployed."""

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from responder.actions.kubernetes import KubernetesAction, Site, permissions, put
from responder.domain import argo
from responder.domain.errors import Permanent, Temporary
from responder.domain.reconcilers import Keeper, at, text_at
from responder.domain.records import Record
from responder.ports.action import Permission
from responder.ports.tools import Object, Tools


class ArgoRollback(KubernetesAction):
    """Let Argo CD deploy an earlier revision of an application, with its automated sync paused, in one change.

    Undo deploys the revision that was asked for before and turns the automated sync on again as it was: the repository
    should be mended by then. What the later revision has added is left unless `prune` says otherwise. An application
    with several sources is refused, and one that a sync is under way for is waited for. What an ApplicationSet makes is
    refused by `kubernetes.reconcilers: refuse`, for it may turn the automated sync on again.
    """

    name: ClassVar[str] = "argocd.rollback"
    kinds: ClassVar[tuple[str, ...]] = ("application",)
    field: ClassVar[tuple[str, ...]] = argo.AUTOMATED
    permissions: ClassVar[tuple[Permission, ...]] = permissions("application")
    example: ClassVar[str] = """\
argocd.rollback: {}
"""

    to: int | None = Field(
        default=None, ge=0, description="the number in its history to go back to; none: the latest other revision"
    )
    prune: bool = Field(default=False, description="also delete what the revision does not have")

    async def owned(self, obj: Object, site: Site) -> JsonValue:
        """Return the revision asked for last, how it syncs by itself, and the revision that it would go back to."""
        now = argo.asked_for(obj)
        return {"revision": now, "automated": argo.automated(obj), "back_to": self._goal(obj, now)}

    def _goal(self, obj: Object, now: str) -> str:
        if self.to is not None:
            return text_at(argo.deployed(obj, self.to) or {}, "revision")
        return next((one for one in (text_at(one, "revision") for one in argo.history(obj)) if one != now), "")

    def same(self, one: JsonValue, other: JsonValue) -> bool:
        """Go by the revision and the automated sync."""
        return all(at(one, name) == at(other, name) for name in ("revision", "automated"))

    def change(self, before: JsonValue) -> JsonValue:
        """Return the revision that it goes back to, with no automated sync."""
        goal = text_at(before, "back_to")
        if not goal:
            named = "no other revision" if self.to is None else f"no number {self.to}"
            raise ValueError(f"its history has {named}")
        return {"revision": goal, "automated": None}

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Ask for the revision once."""
        now = await super().apply(target, record, tools)
        return {name: at(now, name) for name in ("revision", "automated")}

    async def wanted(self, image: JsonValue, obj: Object, site: Site) -> Object:
        """Return a patch that sets the automated sync and asks for the revision."""
        refuse_busy(obj, site)
        if at(obj, "spec", "sources"):
            raise Permanent(f"{site.place} has several sources: which revisions belong together is not known")
        patch: Object = {"operation": argo.sync(obj, text_at(image, "revision"), prune=self.prune)}
        if argo.automated(obj) != at(image, "automated"):
            put(patch, argo.AUTOMATED, at(image, "automated"))
        return patch

    async def keepers(self, site: Site, obj: Object) -> list[Keeper]:
        """Return what writes the application, with the ApplicationSet that makes it."""
        owners = at(obj, "metadata", "ownerReferences")
        sets = [one for one in (owners if isinstance(owners, list) else ()) if at(one, "kind") == "ApplicationSet"]
        why = "makes it, and may turn its automated sync on again"
        made = [Keeper(f"the ApplicationSet {text_at(one, 'name')}", heals=True, why=why) for one in sets]
        return [*made, *await super().keepers(site, obj)]


class ArgoSync(KubernetesAction):
    """Let Argo CD sync an application with its repository now.

    What has been deployed cannot be un-deployed by this: the step needs `undo: none`. One that a sync is under way for
    is waited for.
    """

    name: ClassVar[str] = "argocd.sync"
    effect: ClassVar[Literal["state", "event"]] = "event"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "impossible"
    kinds: ClassVar[tuple[str, ...]] = ("application",)
    permissions: ClassVar[tuple[Permission, ...]] = (Permission("argoproj.io", "applications", ("get", "patch")),)
    example: ClassVar[str] = """\
argocd.sync: {}
undo: none
"""

    prune: bool = Field(default=False, description="also delete what the repository no longer has")

    async def owned(self, obj: Object, site: Site) -> JsonValue:
        """Return whether a sync was asked for and is not done."""
        return {"sync": argo.under_way(obj)}

    def change(self, before: JsonValue) -> JsonValue:
        """Return that a sync is asked for."""
        return {"sync": True}

    async def wanted(self, image: JsonValue, obj: Object, site: Site) -> Object:
        """Return a patch that asks for a sync."""
        refuse_busy(obj, site)
        return {"operation": argo.sync(obj, prune=self.prune)}

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say no: a sync leaves nothing that could drift."""
        return False

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Refuse: a sync has happened."""
        raise Permanent("a sync cannot be undone; argocd.rollback goes to an earlier revision")


def refuse_busy(obj: Object, site: Site) -> None:
    """Raise Temporary while a sync is under way: asking for another one would get lost, or mix with it."""
    if argo.under_way(obj):
        raise Temporary(f"{site.place}: a sync is under way")
