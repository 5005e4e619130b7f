"""Heads of the audit log in a file: only ever added to."""

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


async def test_a_file_that_cannot_be_written_or_is_not_there_says_so(tmp_path: Path) -> None:
    file = HeadsFile(tmp_path / "missing" / "heads.jsonl")
    with pytest.raises(FileNotFoundError):
        await file.keep(head(1))
    with pytest.raises(FileNotFoundError):
        await file.kept()
