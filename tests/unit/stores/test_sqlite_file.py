"""The file under an embedded store: moved, missing, or reached by another name."""

from pathlib import Path

import pytest

from responder.domain.errors import SettingsError, Unavailable
from responder.domain.ids import new_id
from responder.ports.store import NewDelivery
from responder.stores.registry import open_store


async def test_a_file_that_was_removed_takes_nothing_more(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/r.db")
    await store.open()
    try:
        (tmp_path / "r.db").unlink()
        with pytest.raises(Unavailable, match="removed or replaced"):
            await store.accept([NewDelivery(new_id(), "am", store.now(), b"{}", 0)])
        with pytest.raises(Unavailable):
            await store.ping()
    finally:
        await store.close()


async def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/not-mounted/r.db")
    with pytest.raises(SettingsError, match="is no folder"):
        await store.open()
    assert not (tmp_path / "not-mounted").exists()


async def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "r.db").write_text("not a database, but long enough to have a header " * 9)
    with pytest.raises(Unavailable, match=f"not a database; the file is {tmp_path}/r.db: move it aside"):
        await open_store(f"sqlite:///{tmp_path}/r.db").open()


async def test_one_file_has_one_writer_whatever_it_is_called(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/r.db")
    await store.open()
    try:
        (tmp_path / "link.db").symlink_to(tmp_path / "r.db")
        with pytest.raises(SettingsError):
            await open_store(f"sqlite:///{tmp_path}/link.db").open()
    finally:
        await store.close()
