"""Another machine as a target, over SSH: what is asked there, and by what program, goes over the standard input.

SSH hands a command line to the login shell of the user. Ours is the same for every request and holds nothing of it: it
starts Python, which reads the text of ``supervisor.py`` and then the request. Nothing is installed there. Each request
has a connection of its own, so that none hangs on another's, and a lost answer is asked for anew.

asyncssh is an extra: ``pip install 'alert-responder[ssh]'``.
"""

import asyncio
import contextlib
import json
import shlex
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from responder.clients import supervisor
from responder.clients.hosts import Talk, longest
from responder.domain.errors import Permanent, Temporary

if TYPE_CHECKING:  # loaded by who has such a host
    from asyncssh import SSHClientConnection, SSHClientProcess, SSHKey, SSHKnownHosts

LOADER = 'import sys;i=sys.stdin.buffer;exec(compile(i.read(int(i.readline())),"supervisor","exec"))'
"""Reads how many bytes the program has, then the program, and runs it. No shell minds what is in it, once quoted."""
ANSWER = b'{"state": '
"""How every line of an answer begins; what a login shell says by itself is passed over."""
CLOSING_SECONDS = 1.0
SAID = 200
"""How many characters stand in a message of what the other machine said when it could not begin."""


@dataclass(frozen=True, slots=True)
class SshSpec:
    """How to reach a machine over SSH: ``known_hosts`` has its host key, ``python`` runs what is sent there."""

    address: str
    user: str
    key_file: Path
    known_hosts: Path
    port: int = 22
    python: str = "/usr/bin/python3"
    timeout: timedelta = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class SshLine:
    """A way to another machine (``clients.hosts.Line``)."""

    name: str
    spec: SshSpec

    async def ask(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """See ``clients.hosts.Line.ask``."""
        patience = float(told.get("seconds", 0)) if told["do"] == "read" else 0
        async with self._connected() as connection:
            try:
                async with asyncio.timeout(self.spec.timeout.total_seconds() + patience):
                    talk = await self._begun(connection, told)
                    line = await talk.hear()
                    why = "" if line else await talk.why()
            except TimeoutError as error:
                raise Temporary(f"{self.name}: {self.spec.address} did not answer in time") from error
            except OSError as error:
                raise Temporary(f"{self.name}: {error}") from error
        if not line:
            raise Temporary(f"{self.name}: {why}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @contextlib.asynccontextmanager
    async def supervised(self, told: Mapping[str, Any]) -> AsyncIterator[Talk]:
        """See ``clients.hosts.Line.supervised``."""
        async with self._connected() as connection:
            try:
                async with asyncio.timeout(self.spec.timeout.total_seconds()):
                    talk = await self._begun(connection, told)
            except OSError as error:
                raise Temporary(f"{self.name}: nothing could be started: {error}") from error
            yield talk

    async def _begun(self, connection: "SSHClientConnection", told: Mapping[str, Any]) -> "_Talk":
        """Start the program there and hand the request over; raises OSError."""
        import asyncssh

        command = f"exec {shlex.quote(self.spec.python)} -I -S -c {shlex.quote(LOADER)}"
        try:
            window = longest(told) if "output" in told else longest({"output": 0})
            process = await connection.create_process(command, encoding=None, window=window)
            process.stdin.write(_program() + json.dumps(told).encode() + b"\n")
        except asyncssh.Error as error:
            raise ConnectionError(error.reason) from error
        return _Talk(process)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator["SSHClientConnection"]:
        connection = await self._connect()
        try:
            yield connection
        finally:
            connection.close()
            try:
                async with asyncio.timeout(CLOSING_SECONDS):
                    await connection.wait_closed()
            except TimeoutError:
                connection.abort()

    async def _connect(self) -> "SSHClientConnection":
        """Connect with the key and to the host key of the configuration, and by nothing else that lies about."""
        try:
            import asyncssh
        except ImportError as error:
            mend = "pip install 'alert-responder[ssh]'"
            raise Permanent(f"{self.name}: asyncssh is not installed; {mend}") from error
        spec = self.spec
        key, known = await asyncio.to_thread(self._files)
        try:
            async with asyncio.timeout(spec.timeout.total_seconds()):
                return await asyncssh.connect(
                    spec.address,
                    spec.port,
                    username=spec.user,
                    client_keys=[key],
                    known_hosts=known,
                    config=None,
                    agent_path=None,
                    gss_host=None,
                    preferred_auth="publickey",
                    disable_trivial_auth=True,
                )
        except asyncssh.HostKeyNotVerifiable as error:
            raise Permanent(self._unknown_key()) from error
        except asyncssh.PermissionDenied as error:
            mend = f"is its public half in the authorized_keys of {spec.user} there?"
            raise Permanent(f"{self.name}: {spec.address} refuses {spec.user} with {spec.key_file}: {mend}") from error
        except ValueError as error:  # a user without a name, as a container may have: asyncssh wants to know its own
            raise Permanent(f"{self.name}: {spec.address} cannot be reached: {error}") from error
        except (OSError, asyncssh.Error) as error:
            why = str(error) or f"no answer within {spec.timeout.total_seconds():g} s"
            raise Temporary(f"{self.name}: {spec.address} port {spec.port} cannot be reached: {why}") from error

    def _unknown_key(self) -> str:
        spec = self.spec
        scan = f"ssh-keyscan -p {spec.port} {spec.address} >> {spec.known_hosts}"
        return (
            f"{self.name}: the host key of {spec.address} port {spec.port} is not the one in {spec.known_hosts}, or "
            f"none is there. Is it that machine? Then take the old one out and add the new one: {scan}; and compare "
            f"ssh-keygen -lf {spec.known_hosts} with what ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub says there"
        )

    def _files(self) -> "tuple[SSHKey, SSHKnownHosts]":
        """Read the key and the known hosts; raises Permanent, with the file."""
        import asyncssh

        file = self.spec.key_file
        try:
            key = asyncssh.read_private_key(str(file))
            file = self.spec.known_hosts
            return key, asyncssh.read_known_hosts(str(file))
        except OSError as error:
            raise Permanent(f"{self.name}: {file} cannot be read: {error.strerror or error}") from error
        except (ValueError, asyncssh.Error) as error:  # a key that is locked has no passphrase here
            raise Permanent(f"{self.name}: {file} cannot be used: {error}") from error


@dataclass(slots=True)
class _Talk:
    process: "SSHClientProcess[bytes]"
    noise: list[bytes] = field(default_factory=list)

    async def hear(self) -> bytes:
        """See ``clients.hosts.Talk.hear``."""
        import asyncssh

        try:
            while line := await self.process.stdout.readline():
                if line.startswith(ANSWER) and line.endswith(b"\n"):
                    return line
                self.noise.append(line)
        except asyncssh.Error as error:
            raise ConnectionError(f"the connection was lost: {error.reason}") from error
        return b""

    def say(self, line: bytes) -> None:
        """See ``clients.hosts.Talk.say``."""
        with contextlib.suppress(OSError):  # what comes back, or does not, says the same
            self.process.stdin.write(line)

    async def why(self) -> str:
        """Say why there was no answer: what the shell or Python said instead."""
        said = b"".join(self.noise) + await self.process.stderr.read()
        words = " ".join(said.decode(errors="replace").split())[-SAID:]
        return f"nothing could be started there: {words or 'it said nothing'}"


@cache
def _program() -> bytes:
    text = Path(supervisor.__file__).read_bytes()
    return f"{len(text)}\n".encode() + text
