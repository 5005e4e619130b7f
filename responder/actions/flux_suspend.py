"""``flux.suspend`` and ``flux.resume``: whether Flux keeps what it applies as it is in the repository."""

from typing import ClassVar

from pydantic import JsonValue

from responder.actions.kubernetes import FieldsAction, patching
from responder.ports.action import Permission

_KINDS = ("kustomization", "helmrelease")


class FluxSuspend(FieldsAction):
    """Let Flux leave alone what a Kustomization or a HelmRelease applies, until it is undone or resumed.

    Before a change of an object that Flux keeps as it is: what is changed meanwhile stays until it is resumed. Nobody
    is asked who keeps the field: manifests in a repository do not set it, and `flux suspend` writes it, too.
    """

    name: ClassVar[str] = "flux.suspend"
    kinds: ClassVar[tuple[str, ...]] = _KINDS
    owns: ClassVar[dict[str, tuple[str, ...]]] = {"suspend": ("spec", "suspend")}
    absent: ClassVar[dict[str, JsonValue]] = {"suspend": False}
    permissions: ClassVar[tuple[Permission, ...]] = patching(*_KINDS)
    example: ClassVar[str] = """\
flux.suspend: {}
"""

    def change(self, before: JsonValue) -> JsonValue:
        """Return that it is suspended."""
        return {"suspend": True}


class FluxResume(FluxSuspend):
    """Let Flux apply a Kustomization or a HelmRelease again; what differs from the repository is put back by it."""

    name: ClassVar[str] = "flux.resume"
    example: ClassVar[str] = """\
flux.resume: {}
"""

    def change(self, before: JsonValue) -> JsonValue:
        """Return that it is applied."""
        return {"suspend": False}
