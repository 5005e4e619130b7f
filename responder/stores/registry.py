"""From a URL to a store; the driver is loaded only for the kind that is used."""

from pathlib import Path

from responder.domain.errors import SettingsError
from responder.ports.brakes import NO_BRAKES, Brakes
from responder.ports.store import Store

_SQLITE = "sqlite:///"


def open_store(url: str, password: str | None = None, brakes: Brakes = NO_BRAKES) -> Store:
    """Return the store at ``url`` (``sqlite:///path`` or ``postgresql://…``), not yet opened.

    ``password`` goes before one in the URL; ``brakes`` are this process's own, judged with those in the store. Raises
    SettingsError for another kind of URL.
    """
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        from responder.stores.sqlite import sqlite_store

        return sqlite_store(Path(url.removeprefix(_SQLITE)), brakes)
    if url.startswith(("postgresql://", "postgres://")):
        from responder.stores.postgres import postgres_store

        return postgres_store(url, password, brakes)
    scheme = url.partition(":")[0]
    msg = f"store: a URL such as sqlite:///responder.db or postgresql://user@host/name is needed, not one of {scheme!r}"
    raise SettingsError(msg)
