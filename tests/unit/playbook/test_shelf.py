"""The shelf's look at files that change under it."""

import shutil
import threading
import time
from pathlib import Path

from responder.playbook.shelf import fingerprint


def test_folders_that_come_and_go_meanwhile_do_not_end_the_look(tmp_path: Path) -> None:
    """As the kubelet does when it swaps a ConfigMap: a new folder is written, the old one is removed."""
    (tmp_path / "kept.yaml").write_text("a")
    enough = threading.Event()

    def swap() -> None:
        while not enough.is_set():
            folder = tmp_path / "..version" / "deep"
            folder.mkdir(parents=True)
            (folder / "one.yaml").write_text("b")
            shutil.rmtree(tmp_path / "..version")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            fingerprint([tmp_path], [])
    finally:
        enough.set()
        thread.join()
    assert [name for name, _, _ in fingerprint([tmp_path], [])] == [str(tmp_path / "kept.yaml")]
