"""Who asks and what they may do: bearer tokens, RBAC from the stored rules, impersonation, access reviews."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.bed.kube import errors, fields
from tests.bed.kube.kinds import REVIEWS, Kind, review_group
from tests.bed.kube.store import Store
from tests.bed.web import JsonObject

ADMINS = "system:masters"  # may do everything, whatever the rules say
_SELF = {
    "selfsubjectaccessreviews",
    "selfsubjectreviews",
    "selfsubjectrulesreviews",
}  # granted to everybody by system:basic-user
_OPEN = ("/api", "/apis", "/version", "/openapi", "/healthz", "/livez", "/readyz")
"""Paths that system:discovery (anybody known) may read; the last four anybody at all."""

ROLES: dict[str, list[JsonObject]] = {
    "cluster-admin": [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ],
    "view": [
        {"apiGroups": [group], "resources": [*resources], "verbs": ["get", "list", "watch"]}
        for group, resources in {
            "": ("configmaps", "endpoints", "events", "namespaces", "pods", "pods/log", "pods/status", "services"),
            "apps": (
                "controllerrevisions",
                "daemonsets",
                "deployments",
                "deployments/scale",
                "replicasets",
                "statefulsets",
            ),
            "autoscaling": ("horizontalpodautoscalers",),
            "batch": ("cronjobs", "jobs"),
            "discovery.k8s.io": ("endpointslices",),
            "policy": ("poddisruptionbudgets",),
        }.items()
    ],
}
"""ClusterRoles that every cluster comes with; ``view`` shows no secrets."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody, known by a token."""

    name: str
    groups: tuple[str, ...] = ()


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


def known(name: str, *groups: str) -> User:
    """Return a user that has proved to be `name`."""
    return User(name, (*groups, "system:authenticated"))


def service_account(namespace: str, name: str) -> User:
    """Return the user that a service account's token stands for."""
    return known(
        f"system:serviceaccount:{namespace}:{name}", "system:serviceaccounts", f"system:serviceaccounts:{namespace}"
    )


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked for. `path` is set, and nothing of the rest but `verb`, for what is no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full(self) -> str:
        """Return ``deployments/scale``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(slots=True)
class Access:
    """The tokens that are known and the judgement by the rules in the store."""

    store: Store
    tokens: dict[str, User] = field(default_factory=dict)

    def token(self, user: User) -> str:
        """Return a new token of `user`."""
        token = f"{user.name.rsplit(':', 1)[-1]}-{uuid.uuid4().hex}"
        self.tokens[token] = user
        return token

    def identify(self, headers: Mapping[str, str]) -> User:
        """Return who sent a request, after impersonation; raise 401 for a token that is not known."""
        given = headers.get("Authorization", "")
        user = ANONYMOUS
        if given:
            scheme, _, token = given.partition(" ")
            if scheme.lower() != "bearer" or token.strip() not in self.tokens:
                raise errors.unauthorized()
            user = self.tokens[token.strip()]
        wanted = headers.get("Impersonate-User", "")
        return self._impersonated(user, wanted, headers) if wanted else user

    def _impersonated(self, user: User, wanted: str, headers: Mapping[str, str]) -> User:
        parts = wanted.split(":")
        account = parts[:2] == ["system", "serviceaccount"] and len(parts) == 4
        asked = (
            Attributes("impersonate", "", "serviceaccounts", "", parts[2], parts[3])
            if account
            else Attributes("impersonate", "", "users", "", "", wanted)
        )
        self.check(user, asked)
        if account:
            return service_account(parts[2], parts[3])
        groups = [value for key, value in headers.items() if key.lower() == "impersonate-group"]
        for group in groups:
            self.check(user, Attributes("impersonate", "", "groups", "", "", group))
        return known(wanted, *groups)

    def check(self, user: User, asked: Attributes) -> None:
        """Raise 403 unless `user` may do what is asked."""
        if self.allowed(user, asked):
            return
        if asked.path:
            said = f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"'
            raise errors.ApiError(403, "Forbidden", said, {})
        where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
        full = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
        named = f' "{asked.name}"' if asked.name else ""
        said = f'{full}{named} is forbidden: User "{user.name}" cannot {asked.verb} resource "{asked.full}" '
        said += f'in API group "{asked.group}" {where}'
        about = {"name": asked.name, "group": asked.group, "kind": asked.resource}
        raise errors.ApiError(403, "Forbidden", said, {key: one for key, one in about.items() if one})

    def allowed(self, user: User, asked: Attributes) -> bool:
        """Return whether the rules let `user` do it."""
        if ADMINS in user.groups:
            return True
        if asked.path:
            if asked.path.startswith(("/version", "/healthz", "/livez", "/readyz")) and asked.verb == "get":
                return True
            if asked.verb == "get" and asked.path.startswith(_OPEN) and user is not ANONYMOUS:
                return True
        if asked.group == review_group(asked.resource) and asked.resource in _SELF and user is not ANONYMOUS:
            return True
        return any(_permits(rule, asked) for rule in self.rules(user, asked.namespace))

    def rules(self, user: User, namespace: str) -> Iterator[JsonObject]:
        """Yield the rules that bind `user` in `namespace`; only cluster-wide ones when it is empty."""
        for binding in self.store.every("ClusterRoleBinding"):
            if _binds(binding, user):
                yield from self._role(binding, "")
        for binding in self.store.every("RoleBinding", namespace) if namespace else ():
            if _binds(binding, user):
                yield from self._role(binding, namespace)

    def _role(self, binding: JsonObject, namespace: str) -> list[JsonObject]:
        reference = binding["roleRef"]
        role = self.store.get(reference["kind"], namespace if reference["kind"] == "Role" else "", reference["name"])
        rules: list[JsonObject] = (role or {}).get("rules") or []
        return rules

    def review(self, plural: str, user: User, body: JsonObject, manager: str) -> JsonObject:
        """Answer one of the reviews; nothing is stored."""
        kind = Kind(review_group(plural), "v1", plural, REVIEWS[plural], model="custom")
        spec = body.get("spec") or {}
        answer: JsonObject = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {}, "spec": spec}
        fields.written(kind, None, answer, fields.Owner(manager), self.store.clock.stamp())
        if plural == "selfsubjectreviews":
            del answer["spec"]
            return {**answer, "status": {"userInfo": {"username": user.name, "groups": list(user.groups)}}}
        if plural == "selfsubjectrulesreviews":
            return {**answer, "status": self._all_rules(user, spec.get("namespace", ""))}
        about = user
        if plural == "subjectaccessreviews":
            if not spec.get("user") and not spec.get("groups"):
                missing = "Required value: at least one of user or group must be specified"
                cause = errors.cause("FieldValueRequired", "spec.user", missing)
                raise errors.invalid(kind.group, kind.kind, "", [cause])
            about = User(spec.get("user", ""), tuple(spec.get("groups", ())))
        allowed = self.allowed(about, _asked(spec))
        status: JsonObject = {"allowed": allowed}
        if allowed and ADMINS not in about.groups:
            status["reason"] = "RBAC: allowed by a binding"
        return {**answer, "status": status}

    def _all_rules(self, user: User, namespace: str) -> JsonObject:
        everything = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}] if ADMINS in user.groups else []
        found = [*everything, *(rule for rule in self.rules(user, namespace) if "resources" in rule)]
        own = {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": sorted(_SELF)}
        paths = [{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/version"]}]
        return {"resourceRules": [*found, own], "nonResourceRules": paths, "incomplete": False}


def _asked(spec: JsonObject) -> Attributes:
    if "nonResourceAttributes" in spec:
        asked = spec["nonResourceAttributes"]
        return Attributes(asked.get("verb", ""), path=asked.get("path", ""))
    asked = spec.get("resourceAttributes", {})
    keys = ("group", "resource", "subresource", "namespace", "name")
    return Attributes(asked.get("verb", ""), **{key: asked.get(key, "") for key in keys})


def _binds(binding: JsonObject, user: User) -> bool:
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name")
        namespace = subject.get("namespace", "")
        if kind == "User" and name == user.name:
            return True
        if kind == "Group" and name in user.groups:
            return True
        if kind == "ServiceAccount" and f"system:serviceaccount:{namespace}:{name}" == user.name:
            return True
    return False


def _permits(rule: JsonObject, asked: Attributes) -> bool:
    if not _in(asked.verb, rule.get("verbs", ())):
        return False
    if asked.path:
        urls = rule.get("nonResourceURLs", ())
        return any(url == asked.path or (url.endswith("*") and asked.path.startswith(url[:-1])) for url in urls)
    resources = rule.get("resources", ())
    fits = _in(asked.full, resources) or (bool(asked.subresource) and f"*/{asked.subresource}" in resources)
    names = rule.get("resourceNames") or ()
    return fits and _in(asked.group, rule.get("apiGroups", ())) and (not names or asked.name in names)


def _in(value: str, allowed: object) -> bool:
    return isinstance(allowed, list | tuple) and ("*" in allowed or value in allowed)
