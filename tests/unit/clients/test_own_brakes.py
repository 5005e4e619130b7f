"""A process's own brakes: what its environment says once, and what a file says whenever it is looked at."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from responder.clients import own_brakes
from responder.clients.own_brakes import OwnBrakes, look_at
from responder.domain.limits import Pause

Said = list[tuple[str, str, str]]


async def said(brakes: OwnBrakes) -> Said:
    return [(one.source, one.kind, one.scope) for one in await brakes.in_force()]


HALTED: Said = [("file", "halt", "all")]


async def test_a_file_counts_from_when_it_is_there_until_it_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "brake"
    brakes = OwnBrakes("", file)
    assert await said(brakes) == []
    file.touch()
    assert await said(brakes) == [("file", "pause", "all")]
    file.write_text("halt\nteam:shop\nfire\n")
    assert await said(brakes) == [("file", "halt", "team:shop")]
    assert str(file) in (await brakes.in_force())[0].actor
    file.unlink()
    assert await said(brakes) == []


async def test_what_cannot_be_read_halts_everything(tmp_path: Path) -> None:
    file = tmp_path / "brake"
    file.write_bytes(b"\xff\xfe\x00")
    assert await said(OwnBrakes("", file)) == HALTED
    file.write_text("x" * 20_000)
    assert await said(OwnBrakes("", file)) == HALTED
    file.unlink()
    file.symlink_to(tmp_path / "nowhere")
    assert await said(OwnBrakes("", file)) == HALTED
    file.unlink()
    file.mkdir()
    assert await said(OwnBrakes("", file)) == HALTED
    assert await said(OwnBrakes("", tmp_path / "not-mounted" / "brake")) == HALTED
    assert await said(OwnBrakes("", file / "brake" / "deeper")) == HALTED


async def test_what_is_no_regular_file_halts_everything_until_it_is_gone(tmp_path: Path) -> None:
    pipe = tmp_path / "brake"
    os.mkfifo(pipe)  # opening it as a file is waits for somebody who writes
    brakes = OwnBrakes("", pipe)
    (brake,) = await brakes.in_force()
    assert (brake.kind, brake.scope) == ("halt", "all")
    assert "no regular file" in brake.reason
    pipe.unlink()
    assert await said(brakes) == []


async def test_a_mount_that_hangs_halts_everything_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_brakes, "ANSWER_SECONDS", 0.05)
    answers, looks = Event(), []

    def hanging(file: Path) -> tuple[Pause, ...]:
        looks.append(file)
        answers.wait()
        return look_at(file)

    monkeypatch.setattr(own_brakes, "look_at", hanging)
    file = tmp_path / "brake"
    brakes = OwnBrakes("", file)
    assert await said(brakes) == HALTED
    assert await asyncio.gather(*(said(brakes) for _ in range(20))) == [HALTED] * 20
    assert looks == [file]  # one thread waits, however often it is asked
    brakes.file = tmp_path / "other"  # a reload names another file: the first one holds it up no more than others
    assert await said(brakes) == HALTED
    assert looks == [file, tmp_path / "other"]
    answers.set()
    await asyncio.sleep(0.05)
    assert await said(brakes) == []


def test_a_mount_that_hangs_does_not_keep_the_process_from_its_end() -> None:
    program = """
import asyncio, time
from pathlib import Path
from responder.clients import own_brakes
own_brakes.look_at = lambda file: time.sleep(600)
print(asyncio.run(own_brakes.OwnBrakes("", Path("/brake")).in_force())[0].kind)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert ended.stdout == "halt\n"


@pytest.mark.parametrize("value", ["", " ", "0", "no", "Off", "false"])
async def test_an_environment_that_says_no_says_nothing(value: str) -> None:
    assert await said(OwnBrakes(value)) == []


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("1", [("environment", "pause", "all")]),
        ("true", [("environment", "pause", "all")]),
        ("halt", [("environment", "halt", "all")]),
        ("halt; playbook:add-*; team:shop; fire", [("environment", "halt", "playbook:add-*"),
                                                   ("environment", "halt", "team:shop")]),
        ("what?", [("environment", "pause", "all")]),
    ],
)  # fmt: skip
async def test_an_environment_puts_a_brake_on(value: str, found: Said) -> None:
    assert await said(OwnBrakes(value)) == found


async def test_both_count(tmp_path: Path) -> None:
    (tmp_path / "brake").touch()
    both = OwnBrakes("halt", tmp_path / "brake")
    assert await said(both) == [("environment", "halt", "all"), ("file", "pause", "all")]
