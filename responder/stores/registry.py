"""From a URL to a store; the driver is loaded only for the kind that is used."""

from pathlib import Path

from responder.domain.errors import SettingsError
from responder.ports.store import Store

_SQLITE = "sqlite:///"


def open_store(url: str, password: str | None = None) -> Store:
    """Return the store at ``url`` (``sqlite:///path`` or ``postgresql://…``), not yet opened.

    ``password`` goes before one in the URL. Raises SettingsError for another kind of URL.
    """
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        from responder.stores.sqlite import sqlite_store

        return sqlite_store(Path(url.removeprefix(_SQLITE)))
    if url.startswith(("postgresql://", "postgres://")):
        from responder.stores.postgres import postgres_store

        return postgres_store(url, password)
    scheme = url.partition(":")[0]
    msg = f"store: a URL such as sqlite:///responder.db or postgresql://user@host/name is needed, not one of {scheme!r}"
    raise SettingsError(msg)
