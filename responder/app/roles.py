"""Roles: which queues a process works at, where several share the work over one PostgreSQL (decision 38)."""

from collections.abc import Mapping
from enum import StrEnum

from responder.domain.errors import SettingsError
from responder.ports.wake import Queue


class Role(StrEnum):
    """What a process does; whatever its role, it takes alerts, serves its pages and keeps house."""

    ALL = "all"
    ACT = "act"
    """Decides and acts, and leaves telling to the others."""
    TELL = "tell"
    """Tells, and looks around incidents."""


QUEUES: Mapping[Role, frozenset[Queue]] = {
    Role.ALL: frozenset({"deliveries", "runs", "outbox", "looks"}),
    Role.ACT: frozenset({"deliveries", "runs"}),
    Role.TELL: frozenset({"outbox", "looks"}),
}


def role_of(name: str, store_url: str) -> Role:
    """Return the role of that name; raises SettingsError for one that there is not, or that the store is no place for.

    ``store_url`` is where the store is: SQLite is for one process, which does everything.
    """
    try:
        role = Role(name)
    except ValueError:
        raise SettingsError(f"--role: {name!r} is not one of {', '.join(Role)}") from None
    if role is not Role.ALL and store_url.startswith("sqlite:"):
        raise SettingsError(f"--role={role}: SQLite is for one process, which does everything; several need PostgreSQL")
    return role
