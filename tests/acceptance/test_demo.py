"""``responder demo``, as somebody runs it who has nothing but the program."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LIMIT = 60
"""Seconds; it takes half of that on an idle machine."""


def start(tmp_path: Path) -> subprocess.Popen[str]:
    """Start the demonstration with a temporary folder of its own."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    # What a script starts in the background ignores SIGINT, and so would all that it starts.
    return subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-m", "responder", "demo"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )


def responders_of(tmp_path: Path) -> list[int]:
    """Return the processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(tmp_path).encode() in words:
                found.append(int(entry.name))
    return found


def test_one_fix_is_kept_one_undone_and_one_approved(tmp_path: Path) -> None:
    demo = start(tmp_path)
    began = time.monotonic()
    story, _ = demo.communicate(timeout=LIMIT)
    assert demo.returncode == 0, story
    assert time.monotonic() - began < LIMIT
    for said in (
        "workers 4 → 6",
        "✔ verified: it helps, so it is kept",
        "cache_megabytes 64 → 128",
        "cache_megabytes 128 → 64",
        "↩ undone",
        "✋ waits for a person",
        "$ responder approve",
        "approved",
        "workers 6 → 4",
        "$ responder runs",
        "$ responder explain alertname=CheckoutErrors",
    ):
        assert said in story, story
    assert story.index("Waits for approval") < story.index("$ responder approve")
    assert "putting back what was there,   cache_megabytes 128 → 64" in story
    assert "error rate: 0 …" not in story
    assert "\033" not in story
    assert list(tmp_path.iterdir()) == []
    assert responders_of(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_it_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    demo = start(tmp_path)
    assert demo.stdout is not None
    said = []
    for line in demo.stdout:
        said.append(line)
        if "Alertmanager posts" in line:
            break
    else:
        pytest.fail("".join(said))
    demo.send_signal(number)
    rest, _ = demo.communicate(timeout=LIMIT)
    assert demo.returncode != 0
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
    assert responders_of(tmp_path) == []
