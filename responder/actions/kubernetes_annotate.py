"""``kubernetes.annotate``: annotations of an object, and back."""

import re
from typing import ClassVar

from pydantic import Field, JsonValue, field_validator

from responder.actions.kubernetes import KubernetesAction, Site, patching
from responder.domain.kubernetes import MARKER
from responder.domain.reconcilers import at
from responder.ports.action import Permission
from responder.ports.tools import Object

_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_KINDS = ("cronjob", "daemonset", "deployment", "job", "namespace", "node", "pod", "pvc", "statefulset")


class Annotate(KubernetesAction):
    """Set annotations of an object: a switch for something that reads them, or a word for people."""

    name: ClassVar[str] = "kubernetes.annotate"
    kinds: ClassVar[tuple[str, ...]] = _KINDS
    permissions: ClassVar[tuple[Permission, ...]] = patching(*_KINDS)
    example: ClassVar[str] = """\
kubernetes.annotate:
  annotations:
    example.com/on-hold: "{{ labels.alertname }}"
"""

    annotations: dict[str, str | None] = Field(min_length=1, description="by key; null takes one away")

    @field_validator("annotations")
    @classmethod
    def _keys(cls, annotations: dict[str, str | None]) -> dict[str, str | None]:
        for key in annotations:
            if not _KEY.fullmatch(key) or key == MARKER:
                raise ValueError(f"{key!r} is not an annotation that can be set")
        return annotations

    async def owned(self, obj: Object, site: Site) -> JsonValue:
        """Return the annotations that are to be set."""
        return {key: at(obj, "metadata", "annotations", key) for key in self.annotations}

    def change(self, before: JsonValue) -> JsonValue:
        """Return them as they will be."""
        return dict(self.annotations)

    async def wanted(self, image: JsonValue, obj: Object, site: Site) -> Object:
        """Return a patch of these annotations."""
        return {"metadata": {"annotations": image}}
