"""What ``responder doctor`` says of commands, journals and sockets; it runs nothing."""

import os
import socket
from pathlib import Path

from responder.cli.hosts import look_at_commands
from responder.settings import load_settings

SETTINGS = """\
connections:
  host: { here: { folder: FOLDER/a/b }, nowhere: { folder: /proc/1/x } }
  docker: { one: { socket: FOLDER/engine, containers: [ shop ] }, two: { socket: FOLDER/none, containers: [ x ] } }
commands:
  good: { argv: [ /bin/true ] }
  missing: { argv: [ /bin/true ], undo: [ /no/such/program ] }
  nobody: { argv: [ /bin/true ], user: nobody-by-that-name }
  folder: { argv: [ /bin/true ], folder: /no/such/folder }
"""


async def test_doctor_looks_at_programs_users_folders_and_sockets(tmp_path: Path) -> None:
    (tmp_path / "responder.yml").write_text(SETTINGS.replace("FOLDER", str(tmp_path)))
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(tmp_path / "engine"))
        said = [str(one) for one in await look_at_commands(load_settings(tmp_path / "responder.yml", {}))]
    for mark, subject, words in (
        ("✔", "command good", "/bin/true"),
        ("✘", "command missing", "/no/such/program is not a program"),
        ("✘", "command nobody", "there is no user"),
        ("✘", "command folder", "is not there"),
        ("✔", "connection host/here", "journals in"),
        ("✔", "connection docker/one", "for shop"),
        ("✘", "connection docker/two", "no socket"),
    ):
        assert any(mark in one and subject in one and words in one for one in said), (subject, said)
    assert not (tmp_path / "a").exists(), "nothing is made by looking"
    if os.geteuid() != 0:  # root may write everywhere
        assert any("nothing can be written" in one for one in said)
