"""Writing objects: what the API server does between understanding a request and storing its result."""

import uuid
from dataclasses import dataclass, field
from types import NoneType

from tests.bed.kube import defaults, errors, fields, patches, quota, schema, validate
from tests.bed.kube.kinds import Kind, Place, named
from tests.bed.kube.store import Store, draft
from tests.bed.web import JsonObject

_SYSTEM = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
"""Metadata that no update changes."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a write is meant. `validation` is ``Strict``, ``Warn`` or ``Ignore``."""

    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write; `before` is None for a new object."""

    obj: JsonObject
    before: JsonObject | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether there is a difference."""
        return self.before is None or self.before is not self.obj


@dataclass(frozen=True, slots=True)
class _Wish:
    """An object as it should be; `config` is what was applied, when it was."""

    kind: Kind
    obj: JsonObject
    options: Options
    warnings: list[str]
    config: JsonObject | None = None


@dataclass(slots=True)
class Objects:
    """Every write goes through here: those of clients and those of the cluster's own controllers."""

    store: Store

    def create(self, kind: Kind, namespace: str, body: JsonObject, options: Options) -> Written:
        """Create an object."""
        obj, warnings = self._decoded(kind, body, options)
        meta = obj["metadata"]
        if meta.get("resourceVersion"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        if meta.get("namespace", namespace) != namespace and kind.namespaced:
            raise errors.bad_request("the namespace of the provided object does not match the namespace sent")
        name = meta.get("name") or (meta["generateName"] + defaults.suffix() if meta.get("generateName") else "")
        self._place(kind, obj, name, namespace)
        _prepare_new(kind, obj)
        fields.written(kind, None, obj, fields.Owner(options.manager), self.store.clock.stamp())
        self._keep_new(kind, obj, options)
        return Written(obj, None, warnings)

    def replace(self, place: Place, body: JsonObject, options: Options) -> Written:
        """Replace an object; without a resourceVersion whatever is there is overwritten."""
        kind, namespace, name = place
        obj, warnings = self._decoded(kind, body, options)
        given = obj["metadata"].get("name", "")
        if given != name:
            message = f"the name of the object ({given}) does not match the name on the URL ({name})"
            raise errors.bad_request(message if given else "name must be provided")
        if kind.namespaced and obj["metadata"].get("namespace", namespace) != namespace:
            raise errors.bad_request("the namespace of the provided object does not match the namespace sent")
        return self._write(self.existing(place), _Wish(kind, obj, options, warnings))

    def patch(self, place: Place, how: str, patch: JsonObject | list[JsonObject], options: Options) -> Written:
        """Patch an object; `how` is the content type. Apply creates what is not there."""
        kind, namespace, name = place
        if how == patches.STRATEGIC and kind.custom:
            raise errors.media_type()
        if how == patches.APPLY:
            if not isinstance(patch, dict):
                raise errors.bad_request("an apply patch must be an object")
            return self._apply(place, patch, options)
        before = self.existing(place)
        body = patched(before, how, patch)
        obj, warnings = self._decoded(kind, body, options)
        if obj["metadata"].get("name") != name or (kind.namespaced and obj["metadata"].get("namespace") != namespace):
            raise errors.invalid(kind.group, kind.kind, name, [_immutable("metadata.name")])
        return self._write(before, _Wish(kind, obj, options, warnings))

    def existing(self, place: Place) -> JsonObject:
        """Return an object or raise 404."""
        found = self.store.get(*place)
        if found is None:
            raise errors.not_found(place.kind, place.name)
        return found

    def _apply(self, place: Place, config: JsonObject, options: Options) -> Written:
        kind, namespace, name = place
        config, warnings = self._decoded(kind, config, options)
        if config["metadata"].get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        owner = fields.Owner(options.manager, "Apply", options.subresource)
        live = self.store.get(kind, namespace, name)
        if live is not None and "uid" in config["metadata"] and config["metadata"]["uid"] != live["metadata"]["uid"]:
            raise errors.modified(kind, name)
        obj = fields.applied(kind, live, config, owner, force=options.force)
        if live is not None:
            return self._write(live, _Wish(kind, obj, options, warnings, config))
        self._place(kind, obj, name, namespace)
        _prepare_new(kind, obj)
        fields.applied_fields(None, config, obj, owner, self.store.clock.stamp())
        self._keep_new(kind, obj, options)
        return Written(obj, None, warnings)

    def _decoded(self, kind: Kind, body: JsonObject, options: Options) -> tuple[JsonObject, list[str]]:
        """Return a copy of `body` as the server understands it, with warnings about what it does not."""
        if not isinstance(body, dict):
            raise errors.bad_request(f"the body must be a {kind.kind}")
        if not isinstance(body.get("metadata", {}), dict | NoneType):
            raise errors.bad_request(f"json: cannot unmarshal into Go struct field {kind.kind}.metadata")
        if body.get("kind", kind.kind) != kind.kind or body.get("apiVersion", kind.api_version) != kind.api_version:
            given = f"{body.get('apiVersion')}, Kind={body.get('kind')}"
            message = (
                f"the API version and kind in the data ({given}) do not match those expected ({kind.api_version}, "
            )
            raise errors.bad_request(f"{message}Kind={kind.kind})")
        obj, unknown = schema.decode(kind, draft(body))
        found = [f'unknown field "{path}"' for path in unknown]
        if found and options.validation == "Strict":
            said = f"strict decoding error: {', '.join(found)}"
            raise errors.bad_request(
                f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {said}'
            )
        obj = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {}, **obj}
        return obj, found if options.validation == "Warn" else []

    def _place(self, kind: Kind, obj: JsonObject, name: str, namespace: str) -> None:
        """Set who and where a new object is; the namespace must be there and stay."""
        meta = obj["metadata"]
        for system in ("uid", "generation", "creationTimestamp", "deletionTimestamp", "managedFields", "selfLink"):
            meta.pop(system, None)
        placed: JsonObject = {"name": name}
        if kind.namespaced:
            place = self.store.get("Namespace", "", namespace)
            if place is None:
                raise errors.ApiError(
                    404, "NotFound", f'namespaces "{namespace}" not found', {"name": namespace, "kind": "namespaces"}
                )
            if place["metadata"].get("deletionTimestamp"):
                why = f"unable to create new content in namespace {namespace} because it is being terminated"
                what = f"namespace {namespace} is being terminated"
                cause = errors.cause("NamespaceTerminating", "metadata.namespace", what)
                raise errors.forbidden(kind, name, why, [cause])
            placed["namespace"] = namespace
        placed["uid"] = str(uuid.uuid4())
        if kind.generation:
            placed["generation"] = 1
        placed["creationTimestamp"] = self.store.clock.stamp()
        obj["metadata"] = {**placed, **{key: one for key, one in meta.items() if key not in placed}}

    def _keep_new(self, kind: Kind, obj: JsonObject, options: Options) -> None:
        """Admit, check and store a new object; who owns its fields was settled before admission added to them."""
        name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace", "")
        if kind.kind == "Namespace":
            obj["spec"] = {"finalizers": ["kubernetes"]}
        if kind.kind == "Pod":
            self._admit_pod(kind, obj)
        validate.check(kind, obj)
        if self.store.get(kind, namespace, name) is not None:
            raise errors.exists(kind, name)
        quota.charge(self.store, kind, obj)
        if options.dry_run:
            return
        self.store.put(kind, obj)
        if kind.kind == "Namespace":  # the controllers give each one its default service account at once
            account = {"metadata": {"name": "default"}}
            self.create(named("ServiceAccount"), name, account, Options("kube-controller-manager"))

    def _admit_pod(self, kind: Kind, pod: JsonObject) -> None:
        account = pod["spec"].get("serviceAccountName", "default")
        namespace = pod["metadata"]["namespace"]
        if self.store.get("ServiceAccount", namespace, account) is None:
            why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
            raise errors.forbidden(kind, pod["metadata"]["name"], why)
        defaults.admit_pod(pod)

    def _write(self, before: JsonObject, wish: _Wish) -> Written:
        """Bring what is wished for in place of `before`."""
        kind, obj, options, config = wish.kind, wish.obj, wish.options, wish.config
        meta, was = obj["metadata"], before["metadata"]
        name = was["name"]
        if meta.get("resourceVersion") not in {None, "", "0", was["resourceVersion"]}:
            raise errors.modified(kind, name)
        if meta.get("uid") not in {None, was["uid"]}:
            raise errors.modified(kind, name)
        obj = self._kept(kind, before, obj, options)
        defaults.fill(kind, obj)
        validate.check(kind, obj, before)
        if (
            kind.generation
            and not options.subresource.startswith("status")
            and _specification(kind, obj) != _specification(kind, before)
        ):
            obj["metadata"]["generation"] = was.get("generation", 0) + 1
        now = self.store.clock.stamp()
        if config is None:
            owner = fields.Owner(options.manager, "Update", options.subresource)
            fields.written(kind, before, obj, owner, now)
        else:
            owner = fields.Owner(options.manager, "Apply", options.subresource)
            fields.applied_fields(before, config, obj, owner, now)
        if _same(obj, before):
            return Written(before, before, wish.warnings)
        if not options.dry_run:
            self.store.put(kind, obj)
            if obj["metadata"].get("deletionTimestamp") and not obj["metadata"].get("finalizers"):
                self._finished(kind, obj)
        return Written(obj, before, wish.warnings)

    def _kept(self, kind: Kind, before: JsonObject, obj: JsonObject, options: Options) -> JsonObject:
        """Return `obj` with what this request cannot change taken from `before`."""
        was, meta = before["metadata"], obj["metadata"]
        kept = {key: was[key] for key in _SYSTEM if key in was}
        kept |= {key: one for key, one in meta.items() if key not in _SYSTEM and key != "managedFields"}
        if options.subresource in {"status", "finalize"}:
            kept["labels"] = was.get("labels")
            only = "status" if options.subresource == "status" else "spec"
            obj = {**draft(before), **({only: obj[only]} if only in obj else {})}
        elif "status" in kind.subresources:
            obj.pop("status", None)
            if "status" in before:
                obj["status"] = draft(before["status"])
        obj["metadata"] = {key: one for key, one in kept.items() if one not in (None, {}, [])}
        return obj

    def _finished(self, kind: Kind, obj: JsonObject) -> None:
        """Remove what was only kept by its finalizers; pods and namespaces wait for their own controllers."""
        if kind.kind == "Namespace" or (kind.kind == "Pod" and obj["metadata"].get("deletionGracePeriodSeconds")):
            return
        self.store.remove(kind, obj)


def _prepare_new(kind: Kind, obj: JsonObject) -> None:
    """Set the status and the defaults of a new object."""
    status = defaults.starting_status(kind)
    if status is not None:
        obj["status"] = draft(status)
    elif kind.custom and "status" in kind.subresources:
        obj.pop("status", None)
    defaults.fill(kind, obj)
    if kind.kind == "Job":
        defaults.select_job(obj)


def patched(before: JsonObject, how: str, patch: JsonObject | list[JsonObject]) -> JsonObject:
    """Return what a patch of content type `how` makes of an object."""
    if how == patches.JSON:
        body = patches.json_patch(before, patch)
    elif how == patches.MERGE:
        body = patches.merge(before, patch)
    elif how == patches.STRATEGIC:
        body = patches.strategic(before, patch)
    else:
        raise errors.media_type()
    if not isinstance(body, dict) or not isinstance(body.get("metadata"), dict):
        raise errors.unprocessable()
    return body


def _specification(kind: Kind, obj: JsonObject) -> JsonObject:
    """Return what a change of makes a new generation."""
    if kind.custom:
        return {key: one for key, one in obj.items() if key not in {"metadata", "status"}}
    if kind.kind == "Deployment":  # its strategy counts annotations, too
        return {"spec": obj.get("spec"), "annotations": obj["metadata"].get("annotations")}
    return {"spec": obj.get("spec")}


def _same(now: JsonObject, before: JsonObject) -> bool:
    """Whether a write would change nothing; times of ownership do not count."""

    def plain(obj: JsonObject) -> JsonObject:
        entries = obj["metadata"].get("managedFields", ())
        untimed = [{key: one for key, one in entry.items() if key != "time"} for entry in entries]
        untimed.sort(key=lambda entry: (entry["manager"], entry["operation"], entry.get("subresource", "")))
        return {**obj, "metadata": {**obj["metadata"], "managedFields": untimed}}

    return plain(now) == plain(before)


def _immutable(path: str) -> JsonObject:
    return errors.cause("FieldValueInvalid", path, "Invalid value: field is immutable")
