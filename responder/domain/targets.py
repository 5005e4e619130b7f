"""Targets: what a run changes, as a path of names that says its scope."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from responder.domain.alerts import REPLACEMENT

SEPARATOR = "/"
KUBERNETES_KINDS = frozenset(
    {
        "application",
        "cronjob",
        "daemonset",
        "deployment",
        "helmrelease",
        "hpa",
        "job",
        "kustomization",
        "namespace",
        "node",
        "pod",
        "pvc",
        "replicaset",
        "statefulset",
    },
)
"""Kinds of targets whose key begins with their cluster."""


OTHER_KINDS = frozenset({"docker", "host", "http", "pgbouncer", "postgres", "redis"})
"""Kinds of targets that are in no cluster."""
NAMESPACE = "namespace"
LONGEST_KEY = 1024
"""Bytes: PostgreSQL indexes no more than 2,704 of a row, and what an annotation says may have been cut far above."""


def is_kubernetes(key: str) -> bool:
    """Whether ``key`` is one of a cluster: ``prod-eu/deployment/shop/api``; a service may be called ``job``, too."""
    first, *rest = key.split(SEPARATOR)
    return first not in OTHER_KINDS and rest[:1] != [] and rest[0] in KUBERNETES_KINDS


def ancestors(key: str) -> tuple[str, ...]:
    """Return every proper path prefix of ``key``, longest first: ``a/b/c`` gives ``a/b``, ``a``."""
    parts = key.split(SEPARATOR)
    return tuple(SEPARATOR.join(parts[:length]) for length in range(len(parts) - 1, 0, -1))


def conflicts(one: str, other: str) -> bool:
    """Say whether two targets may not be changed at once: equal, or one is a path prefix of the other."""
    return one == other or one.startswith(other + SEPARATOR) or other.startswith(one + SEPARATOR)


def connection_of(key: str) -> str:
    """Return the part of ``key`` that names what it is reached through: ``http/checkout``, or the cluster."""
    if is_kubernetes(key):
        return key.partition(SEPARATOR)[0]
    return SEPARATOR.join(key.split(SEPARATOR)[:2])


def covered(key: str, pattern: str) -> bool:
    """Say whether ``key`` or one above it fits ``pattern``; ``*`` stands for any text, as in a shell.

    A Kubernetes object lies below its namespace too: ``*/namespace/shop`` covers ``prod-eu/deployment/shop/api``.

    What a pattern names covers everything below it: a brake that is too wide is safe, one that is too narrow is not.
    """
    return any(fnmatchcase(one, pattern) for one in (key, *ancestors(key), *_namespace_of(key)))


def _namespace_of(key: str) -> tuple[str, ...]:
    names = key.split(SEPARATOR)
    if len(names) != 4 or not is_kubernetes(key):  # noqa: PLR2004 - cluster, kind, namespace, name
        return ()
    return (SEPARATOR.join((names[0], NAMESPACE, names[2])),)


def is_protected(key: str, patterns: Iterable[str]) -> bool:
    """Say whether a pattern covers ``key``."""
    return any(covered(key, pattern) for pattern in patterns)


def check_key(key: str) -> str:
    """Return ``key`` when it names something: at least two names, none empty, no control characters, not too long.

    Raises ValueError with the sentence to show.
    """
    names = key.split(SEPARATOR)
    if len(names) < 2:  # noqa: PLR2004 - a kind and a name
        msg = f"a target is a kind and a name, such as http/checkout; this is {key!r}"
        raise ValueError(msg)
    if not all(name.strip() for name in names):
        msg = f"the target {key!r} has an empty part: an empty label, or a slash too many"
        raise ValueError(msg)
    if not key.isprintable():
        msg = f"the target {key!r} holds control characters"
        raise ValueError(msg)
    if REPLACEMENT in key:
        msg = f"the target {key!a} holds U+FFFD, which stands for characters that could not be kept"
        raise ValueError(msg)
    if len(key.encode()) > LONGEST_KEY:
        msg = f"the target {key[:40]!r}… has {len(key.encode())} bytes; {LONGEST_KEY} is the most"
        raise ValueError(msg)
    return key
