"""What the API server refuses, as the Status objects that a real 1.36 control plane was recorded to answer with."""

from collections.abc import Sequence

from tests.bed.kube.kinds import Kind
from tests.bed.web import JsonObject

UNROUTED = "the server could not find the requested resource"
REJECTED = "the server rejected our request due to an error in our request"


class ApiError(Exception):
    """A refusal; `body` is the Status object that the client gets."""

    def __init__(self, code: int, reason: str, message: str, details: JsonObject | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    @property
    def body(self) -> JsonObject:
        """Return the Status."""
        body: JsonObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details is not None:
            body["details"] = self.details
        return {**body, "code": self.code}


def details(kind: Kind, name: str = "") -> JsonObject:
    """Return who is meant, leaving out what is empty, as the server does."""
    named = {"name": name, "group": kind.group, "kind": kind.plural}
    return {key: value for key, value in named.items() if value}


def bad_request(message: str) -> ApiError:
    """400: the request cannot be understood."""
    return ApiError(400, "BadRequest", message)


def not_found(kind: Kind, name: str) -> ApiError:
    """404: no such object."""
    return ApiError(404, "NotFound", f'{kind.resource} "{name}" not found', details(kind, name))


def no_route() -> ApiError:
    """404: no such resource or subresource."""
    return ApiError(404, "NotFound", UNROUTED, {})


def not_allowed(kind: Kind) -> ApiError:
    """405: the resource has no such verb."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {"group": kind.group, "kind": kind.plural})


def exists(kind: Kind, name: str) -> ApiError:
    """409 AlreadyExists: the name is taken."""
    return ApiError(409, "AlreadyExists", f'{kind.resource} "{name}" already exists', details(kind, name))


def modified(kind: Kind, name: str) -> ApiError:
    """409 Conflict: the resourceVersion that was given is not the latest."""
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {kind.resource} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
        details(kind, name),
    )


def precondition(kind: Kind, name: str, what: str, given: str, actual: str) -> ApiError:
    """409 Conflict: a delete's precondition does not hold."""
    message = f'Operation cannot be fulfilled on {kind.kind} "{name}": the {what} in the precondition ({given}) '
    message += f"does not match the {what} in record ({actual}). The object might have been "
    message += "deleted and then recreated" if what == "UID" else "modified"
    named = {"name": name, "group": kind.group, "kind": kind.kind}
    return ApiError(409, "Conflict", message, {key: value for key, value in named.items() if value})


def cause(reason: str, field: str, message: str) -> JsonObject:
    """Return one finding about a field: FieldValueInvalid, FieldValueRequired, FieldValueNotSupported and so on."""
    return {"reason": reason, "message": message, "field": field}


def invalid(group: str, kind: str, name: str, causes: Sequence[JsonObject]) -> ApiError:
    """422: the object was understood and is wrong."""
    found = [f"{one['field']}: {one['message']}" for one in causes]
    said = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
    full = f"{kind}.{group}" if group else kind
    named = {"name": name, "group": group, "kind": kind}
    about: JsonObject = {key: value for key, value in named.items() if value}
    return ApiError(422, "Invalid", f'{full} "{name}" is invalid: {said}', {**about, "causes": list(causes)})


def unprocessable() -> ApiError:
    """422 with the useless message that a failed JSON patch gets."""
    return ApiError(422, "Invalid", REJECTED, {})


def media_type() -> ApiError:
    """415: a patch of a type that is not known here."""
    return ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def forbidden(kind: Kind, name: str, why: str, causes: Sequence[JsonObject] = ()) -> ApiError:
    """403: admission says no."""
    about = details(kind, name)
    if causes:
        about["causes"] = list(causes)
    said = f'{kind.resource} "{name}" is forbidden: {why}' if name else f"{kind.resource} is forbidden: {why}"
    return ApiError(403, "Forbidden", said, about)


def unauthorized() -> ApiError:
    """401: nobody that is known here."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def expired(message: str) -> ApiError:
    """410: that version is no longer remembered."""
    return ApiError(410, "Expired", message)


def fieldmanager_conflict(conflicts: Sequence[tuple[str, str]]) -> ApiError:
    """409: an apply wants fields that others own; `conflicts` are (manager and version, field) pairs."""
    causes = [cause("FieldManagerConflict", field, f"conflict with {who}") for who, field in conflicts]
    owners = list(dict.fromkeys(who for who, _ in conflicts))
    count = f"{len(conflicts)} conflict{'' if len(conflicts) == 1 else 's'}"
    if len(conflicts) == 1:
        said = f"conflict with {conflicts[0][0]}: {conflicts[0][1]}"
    else:
        parts = []
        for owner in owners:
            fields = "\n".join(f"- {field}" for who, field in conflicts if who == owner)
            parts.append(f"conflicts with {owner}:\n{fields}")
        said = "\n".join(parts)
    return ApiError(409, "Conflict", f"Apply failed with {count}: {said}", {"causes": causes})
