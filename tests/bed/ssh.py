"""An sshd of our own, on a free loopback port and as the user of the tests: OpenSSH's, with keys of its own."""

import contextlib
import os
import pwd
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from responder.clients.ssh import SshSpec
from responder.clients.supervisor import USUAL_PATH
from tests.bed.processes import Child, free_port, private_directory, program, start

_SEPARATION = Path("/run/sshd")  # what Debian's sshd, as root, wants to be there; its service makes it
_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/id.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
SetEnv HOME={folder} PATH={folder}/bin:{path} {environment}
"""


@dataclass(slots=True)
class Sshd:
    """A running sshd; ``folder`` has the key ``id`` that it lets in, and ``known_hosts``.

    What is in its ``bin``, which is not there at first, is found before any other program.
    """

    folder: Path
    port: int
    child: Child

    def spec(self, port: int | None = None) -> SshSpec:
        """Return how to reach it, at another port if a proxy is between."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        known = self.folder / "known_hosts"
        return SshSpec("127.0.0.1", user, self.folder / "id", known, self.port if port is None else port)


@contextlib.contextmanager
def private_sshd(environment: str = "BED=1") -> Iterator[Sshd]:
    """Run one that gives whoever logs in a variable (``NAME=VALUE``), and a home where no shell finds much to do.

    Raises FileNotFoundError when OpenSSH's server is not installed.
    """
    binary = program("sshd", "usr/sbin")
    if binary is None:
        raise FileNotFoundError("sshd")
    if os.geteuid() == 0:
        _SEPARATION.mkdir(mode=0o755, exist_ok=True)
    with private_directory("sshd") as folder:
        for name in ("host", "id", "other"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        kind, key, *_ = (folder / "host.pub").read_text(encoding="ascii").split()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:* {kind} {key}\n", encoding="ascii")
        port = free_port()
        config = folder / "sshd_config"
        written = _CONFIG.format(port=port, folder=folder, path=USUAL_PATH, environment=environment)
        config.write_text(written, encoding="ascii")
        child = start("sshd", [binary, "-D", "-e", "-f", config], directory=folder)
        try:
            child.wait_for_port(port)
            yield Sshd(folder, port, child)
        finally:
            child.stop()
