"""Whose pod it is: what an object says of the one that made it."""

from collections.abc import Mapping

from pydantic import JsonValue

from responder.domain.kubernetes import OF_TITLE, Kind
from responder.domain.reconcilers import at, text_at

OWNERS = ("cronjob", "daemonset", "deployment", "job", "replicaset", "statefulset")
"""What may follow ``owner.`` in a template: the kinds of what makes pods."""
BETWEEN: Mapping[str, str] = {"replicaset": "deployment", "job": "cronjob"}
"""What has an owner of its own, and which: it is read to find that one."""


def controller_of(obj: Mapping[str, JsonValue]) -> tuple[Kind, str] | None:
    """Return the kind and the name of the object that manages this one; None when none does that is known here."""
    listed = at(obj, "metadata", "ownerReferences")
    for reference in listed if isinstance(listed, list) else []:
        kind = OF_TITLE.get(text_at(reference, "kind"))
        if at(reference, "controller") is True and kind is not None and kind.word in OWNERS:
            same_api = text_at(reference, "apiVersion").partition("/")[0] == kind.group
            return (kind, text_at(reference, "name")) if same_api else None
    return None
