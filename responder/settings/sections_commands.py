"""Reading what may be run: commands by name, and the machines they run on."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from responder.language.commands import USUAL_ENVIRONMENT, Codes, Command, Job, places
from responder.language.matchers import searcher
from responder.settings.model import DockerConnection, HostConnection, SshConnection
from responder.settings.reader import Node, unread_secret

LOCAL = "local"
"""Stands for the mapping of a host: the machine that the responder runs on."""
JOURNALS = "responder.commands"
"""The folder beside the configuration in which it is written down what became of each command."""
DOCKER_SOCKET = "/var/run/docker.sock"
PYTHON = "/usr/bin/python3"
SSH_PORT = 22
CONNECT = timedelta(seconds=3)
LONGEST_CONNECT = timedelta(seconds=5)
"""An effect has to answer within nine seconds, of which this is the beginning."""
LONGEST = timedelta(hours=1)
NOTHING: tuple[str, ...] = ()
MOST_OUTPUT = 1024 * 1024
INTERPRETERS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "python", "perl", "ruby", "node"})
"""Programs that carry out the text behind ``-c`` or ``-e``."""
_CODE_FLAG = re.compile(r"-[a-z]*[ce]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_AS_NAMES = "write [ HTTPS_PROXY ], and set it where the responder is started"
_HIGHEST_CODE = 255


def read_host(node: Node) -> HostConnection:
    """Read ``local``, or a mapping with the folder of its journals, and how it is reached when it is another."""
    usual = node.reading.folder / JOURNALS
    if node.value == LOCAL:
        return HostConnection(usual)
    if node.is_word(LOCAL, "the machine that the responder runs on, or { folder: …, units: […] }"):
        return HostConnection(usual)
    fields = node.keys(("folder", "matchers", "units", "ssh"))
    units = tuple(one.text() for one in fields.get("units").items())
    ssh = fields.read("ssh", _ssh, None)
    if ssh is None:
        folder = fields.read("folder", Node.file_path, usual)
    else:
        hint = "where journals are kept on that machine, such as /var/lib/responder/commands"
        folder = fields.required("folder", _absolute, usual, hint)
    return HostConnection(folder, fields.get("matchers").matchers(), units, ssh)


def _ssh(node: Node) -> SshConnection:
    fields = node.keys(("address", "port", "user", "key_file", "known_hosts", "connect_timeout", "python"))
    scan = "the file with its host key, written by: ssh-keyscan ADDRESS; compare it with the machine's own"
    key_file = fields.get("key_file")
    fields.read("key_file", Node.secret_from_file, "")
    return SshConnection(
        address=fields.required("address", Node.text, "", "the machine's name or address"),
        user=fields.required("user", Node.text, "", "as whom to log in there"),
        key_file=fields.required("key_file", Node.file_path, key_file.reading.folder, "the private key, in a file"),
        known_hosts=fields.required("known_hosts", _there, key_file.reading.folder, scan),
        port=fields.read("port", lambda one: one.count(65_535), SSH_PORT),
        python=str(fields.read("python", _absolute, Path(PYTHON))),
        timeout=fields.read("connect_timeout", lambda one: one.duration(LONGEST_CONNECT), CONNECT),
    )


def _there(node: Node) -> Path:
    """Read the path of a file that has to be there, where a configuration is read to be used."""
    path = node.file_path()
    node.reading.files.append(path)
    if node.reading.read_secret is not unread_secret and not path.is_file():
        node.complain(f"{path} is not there", "file", "write it with: ssh-keyscan ADDRESS, and compare the key")
    return path


def read_docker(node: Node) -> DockerConnection:
    """Read the socket of a container engine and the containers that may be changed."""
    fields = node.keys(("socket", "containers", "matchers"))
    containers = tuple(one.text() for one in fields.get("containers").items())
    if not containers:
        hint = "name them: containers: [ shop-worker ]"
        node.complain("no container may be changed here", "missing-key", hint, at_key=True)
    path = fields.read("socket", Node.file_path, Path(DOCKER_SOCKET))
    return DockerConnection(path, containers, fields.get("matchers").matchers())


def read_commands(node: Node, hosts: Mapping[str, object]) -> Mapping[str, Command]:
    """Read the commands by name."""
    return {name: _command(name, one, hosts) for name, one in node.named().items()}


def _command(name: str, node: Node, hosts: Mapping[str, object]) -> Command:
    fields = node.keys(
        (
            "argv",
            "undo",
            "landed",
            "parameters",
            "hosts",
            "folder",
            "environment",
            "user",
            "timeout",
            "output",
            "exit_codes",
        )
    )
    argv = fields.required("argv", _argv, NOTHING, "the program, with its arguments one by one")
    undo, landed = fields.read("undo", _argv, NOTHING), fields.read("landed", _argv, NOTHING)
    parameters = {one: _pattern(pattern) for one, pattern in fields.get("parameters").named().items()}
    for key, part in (("argv", argv), ("undo", undo), ("landed", landed)):
        for missing in sorted(places(part) - parameters.keys()):
            hint = f'parameters: {{ {missing}: "[a-z0-9-]+" }}'
            fields.get(key).complain(f"nothing says what {missing} may be", "parameter", hint)
    for unused in sorted(parameters.keys() - places((*argv, *undo, *landed))):
        fields.get("parameters").named()[unused].complain("no argument has a place for it", "parameter", at_key=True)
    allowed = frozenset(one.choice(hosts) for one in fields.get("hosts").items()) if hosts else frozenset()
    return Command(
        name,
        argv,
        undo,
        landed,
        parameters,
        allowed,
        Job(
            (),
            folder=str(fields.read("folder", _absolute, Path("/"))),
            environment=(*USUAL_ENVIRONMENT, *fields.read("environment", _environment, NOTHING)),
            user=fields.read("user", Node.text, ""),
            seconds=fields.read("timeout", lambda one: one.duration(LONGEST), timedelta(seconds=30)).total_seconds(),
            output=fields.read("output", lambda one: one.count(MOST_OUTPUT), 16_384),
            codes=fields.read("exit_codes", _codes, Codes()),
        ),
    )


def _argv(node: Node) -> tuple[str, ...]:
    argv = tuple(one.text() for one in node.items())
    if not argv:
        node.complain("there is nothing to run", "value", "write it like [ /usr/bin/systemctl, restart, shop ]")
    elif not argv[0].startswith("/") or places(argv[:1]):
        node.complain("this is not the path of a program", "value", "write it out, from / on")
    elif places(_code_of(argv)):
        hint = "write a script, and give it the value as an argument"
        node.complain("a value in what a shell reads is a command, whoever wrote it", "shell", hint)
    return argv


def _code_of(argv: Sequence[str]) -> tuple[str, ...]:
    """Return what a shell or an interpreter is given to carry out, such as the text behind ``sh -c``."""
    if Path(argv[0]).name.rstrip("0123456789.") not in INTERPRETERS:
        return ()
    return tuple(code for flag, code in pairwise(argv) if _CODE_FLAG.fullmatch(flag))


def _absolute(node: Node) -> Path:
    path = Path(node.text())
    if not path.is_absolute():
        node.complain("the path of a folder is expected, from / on", "value")
    return path


def _environment(node: Node) -> tuple[str, ...]:
    if isinstance(node.value, dict):
        node.complain("names of variables are expected, without values", "type", _AS_NAMES)
        return ()
    return tuple(_variable(one) for one in node.items())


def _variable(node: Node) -> str:
    """Read the name of a variable of our own environment, which the command sees, too."""
    text = node.text()
    if text and not _VARIABLE.fullmatch(text):
        hint = (
            "write the name alone, and set it where the responder is started" if "=" in text else "write it like PATH"
        )
        node.complain("this is not the name of a variable", "value", hint)
    return text


def _pattern(node: Node) -> str:
    text = node.text()
    node.parsed(searcher, None, "pattern", 'the whole value must fit it: write one such as "[a-z0-9-]+"')
    return text


def _codes(node: Node) -> Codes:
    fields = node.keys(("success", "nothing", "failed"))
    found = {
        name: frozenset(_code(one) for one in fields.get(name).items()) for name in ("success", "nothing", "failed")
    }
    success = found["success"] or Codes().success
    for name in ("nothing", "failed"):
        taken = found[name] & (success if name == "nothing" else success | found["nothing"])
        if taken:
            fields.get(name).complain(f"{min(taken)} means something else already", "value")
    return Codes(success, found["nothing"], found["failed"])


def _code(node: Node) -> int:
    if isinstance(node.value, int) and not isinstance(node.value, bool) and 0 <= node.value <= _HIGHEST_CODE:
        return node.value
    node.complain(f"an exit code from 0 to {_HIGHEST_CODE} is expected", "type")
    return 0
