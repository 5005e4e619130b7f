"""Heads of the audit log in a file: only ever added to."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from responder.clients.heads_file import HeadsFile
from responder.domain.seals import Head

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def head(number: int) -> Head:
    return Head(number, f"hash-{number}", NOW + timedelta(seconds=number, microseconds=1))


async def test_heads_are_added_once_and_read_back_also_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "heads.jsonl"
    first = HeadsFile(path)
    for one in (1, 1, 3):
        await first.keep(head(one))
    before = path.read_bytes()
    again = HeadsFile(path)
    await again.keep(head(3))
    assert path.read_bytes() == before
    await again.keep(head(4))
    assert path.read_bytes().startswith(before)
    assert list(await again.kept()) == [head(1), head(3), head(4)]


async def test_a_line_that_is_no_head_is_named_and_does_not_keep_others_from_being_added(tmp_path: Path) -> None:
    path = tmp_path / "heads.jsonl"
    path.write_text('{"segment": 1}\n')
    file = HeadsFile(path)
    await file.keep(head(2))
    assert len(path.read_text().splitlines()) == 2
    with pytest.raises(ValueError, match="line 1 is no head"):
        await file.kept()


async def test_a_disk_that_takes_a_part_of_a_line_leaves_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "heads.jsonl"
    file = HeadsFile(path)
    await file.keep(head(1))
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda handle, data: write(handle, data[:7]))
        with pytest.raises(OSError, match="No space left"):
            await file.keep(head(2))
    await file.keep(head(3))
    assert list(await file.kept()) == [head(1), head(3)]


async def test_a_last_line_without_an_end_is_not_written_on(tmp_path: Path) -> None:
    path = tmp_path / "heads.jsonl"
    await HeadsFile(path).keep(head(1))
    path.write_bytes(path.read_bytes().rstrip())  # an editor, or a crash
    await HeadsFile(path).keep(head(2))
    assert list(await HeadsFile(path).kept()) == [head(1), head(2)]


async def test_only_the_end_of_a_long_file_is_read_to_add_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "heads.jsonl"
    first = HeadsFile(path)
    for one in range(100):
        await first.keep(head(one))
    monkeypatch.setattr(Path, "read_text", None)
    again = HeadsFile(path)
    before = path.read_bytes()
    await again.keep(head(99))
    assert path.read_bytes() == before


async def test_a_file_that_cannot_be_written_or_is_not_there_says_so(tmp_path: Path) -> None:
    file = HeadsFile(tmp_path / "missing" / "heads.jsonl")
    with pytest.raises(FileNotFoundError):
        await file.keep(head(1))
    with pytest.raises(FileNotFoundError):
        await file.kept()
