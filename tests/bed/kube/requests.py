"""What a request asks for: its path, its verb and its options."""

from collections.abc import Mapping
from dataclasses import dataclass

from multidict import MultiMapping

from tests.bed.kube import errors
from tests.bed.kube.access import Attributes
from tests.bed.kube.kinds import REVIEWS, Kind, flag, review_group, served
from tests.bed.kube.objects import Options

_WRITES = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OPTIONS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions", "DELETE": "DeleteOptions"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, understood as far as its path goes; `kind` is None for reviews and for what is not served."""

    verb: str
    group: str
    plural: str
    kind: Kind | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def attributes(self) -> Attributes:
        """Return what authorisation judges; of what is proxied only that it is."""
        subresource = self.subresource.partition("/")[0]
        return Attributes(self.verb, self.group, self.plural, subresource, self.namespace, self.name)

    @property
    def write(self) -> bool:
        """Whether it wants a change."""
        return self.verb not in {"get", "list", "watch"}

    @property
    def resource(self) -> str:
        """Return ``deployments.apps/scale``."""
        full = f"{self.plural}.{self.group}" if self.group else self.plural
        return f"{full}/{self.subresource}" if self.subresource else full


def understand(method: str, path: str, query: Mapping[str, str]) -> Asked | None:
    """Return what is asked for; None when the path is no resource's."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in {"status", "finalize"}:
        namespace, rest = rest[1], rest[2:]
    elif rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]  # authorisation sees a namespace as being in itself
    plural, name, subresource = rest[0], rest[1] if len(rest) > 1 else "", "/".join(rest[2:])
    verb = _verb(method, name, query)
    kind = served(group, version, plural)
    if kind is None and not (plural in REVIEWS and group == review_group(plural)):
        return Asked(verb, group, plural, None, namespace, name, subresource)
    return Asked(verb, group, plural, kind, namespace, name, subresource)


def _verb(method: str, name: str, query: Mapping[str, str]) -> str:
    if method in _WRITES:
        return "deletecollection" if method == "DELETE" and not name else _WRITES[method]
    if flag(query, "watch"):
        return "watch"
    return "get" if name else "list"


def options(method: str, query: MultiMapping[str], user_agent: str, subresource: str, *, apply: bool) -> Options:
    """Return how a write is meant; raise 422 for an option that does not exist."""
    kind = _OPTIONS[method]
    causes = []
    dry = query.getall("dryRun", [])
    if dry and dry != ["All"]:
        shown = "[" + ",".join(f'"{one}"' for one in dry) + "]"
        said = f'Unsupported value: {shown}: supported values: "All"'
        causes.append(errors.cause("FieldValueNotSupported", "dryRun", said))
    manager = query.get("fieldManager", "")
    if apply and not manager:
        said = "Required value: is required for apply patch"
        causes.append(errors.cause("FieldValueRequired", "fieldManager", said))
    force = flag(query, "force")
    if force and not apply and method == "PATCH":
        said = "Forbidden: may not be specified for non-apply patch"
        causes.append(errors.cause("FieldValueForbidden", "force", said))
    validation = query.get("fieldValidation", "Warn")
    if validation not in {"Strict", "Warn", "Ignore"}:
        said = f'Unsupported value: "{validation}": supported values: "Ignore", "Strict", "Warn"'
        causes.append(errors.cause("FieldValueNotSupported", "fieldValidation", said))
    if causes:
        raise errors.invalid("meta.k8s.io", kind, "", causes)
    return Options(
        manager or user_agent.split("/", maxsplit=1)[0][:128] or "unknown", bool(dry), validation, force, subresource
    )
