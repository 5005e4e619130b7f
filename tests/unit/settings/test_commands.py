"""Reading commands and the hosts they run on, and what a playbook may ask of them."""

from pathlib import Path

import pytest

from responder.app import catalogue, names_of
from responder.language.commands import Codes
from responder.playbook.schema import examine
from responder.settings import Settings, WrongSettings, load_settings

GOOD = """\
connections: { host: { here: local, there: { folder: /var/lib/responder, matchers: [ 'instance="web-1"' ] } } }
commands:
  restart:
    argv: [ /bin/restart, "{{ unit }}", --now ]
    undo: [ /bin/restart, "{{ unit }}", --back ]
    parameters: { unit: "[a-z-]+" }
    environment: [ HOME ]
    timeout: 2m
    output: 1000
    exit_codes: { nothing: [ 3 ], failed: [ 2, 64 ] }
  page-cache: { argv: [ /bin/drop ], hosts: [ there ] }
"""
SSH = """\
connections:
  host:
    web-1:
      folder: /var/lib/responder/commands
      ssh:
        address: web-1.example.org
        user: responder
        key_file: id
        known_hosts: known_hosts
        port: 2222
"""
PLAYBOOK = """\
schema: 1
name: restart-it
mode: approve
matchers:
  - alertname="Stuck"
target: host/here/{{ labels.unit }}
limits:
  cooldown: 15m
steps:
  - id: restart
    timeout: 3m
    command.run:
      command: restart
      with:
        unit: "{{ labels.unit }}"
verify:
  - query: up
    equals: 1
"""


def read(folder: Path, text: str) -> Settings:
    path = folder / "responder.yml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, {})


def test_commands_are_read_with_all_that_they_say(tmp_path: Path) -> None:
    settings = read(tmp_path, GOOD)
    restart = settings.commands["restart"]
    job = restart.job({"unit": "shop"})
    assert job.argv == ("/bin/restart", "shop", "--now")
    assert restart.job({"unit": "shop"}, "undo").argv == ("/bin/restart", "shop", "--back")
    assert (job.seconds, job.output, job.environment[-1]) == (120, 1000, "HOME")
    assert job.codes == Codes(frozenset({0}), frozenset({3}), frozenset({2, 64}))
    assert settings.connections_host["here"].folder == tmp_path / "responder.commands"
    assert settings.connections.pick("host", {"instance": "web-1"}) == "there"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("[ /bin/drop ]", "[ drop ]", "this is not the path of a program"),
        ("[ /bin/drop ]", '[ "{{ x }}" ]', "is not the path of a program"),
        ("[ /bin/drop ]", "[]", "there is nothing to run"),
        (
            "argv: [ /bin/drop ]",
            'argv: [ /bin/sh, -c, "drop {{ x }}" ], parameters: { x: "[a-z]" }',
            "is a command, whoever",
        ),
        ("--now", '"{{ when }}"', "nothing says what when may be"),
        ('unit: "[a-z-]+"', 'unit: "[a-z-]+", more: "x"', "no argument has a place for it"),
        ("[a-z-]+", "[a-z", r'no regular expression as RE2 reads them.*write one such as "\[a-z0-9-\]\+"'),
        ("[ HOME ]", "[ HOME=/x ]", "this is not the name of a variable .*write the name alone, and set it where"),
        ("[ HOME ]", "[ 9x ]", "this is not the name of a variable"),
        ("[ HOME ]", "{ HOME: x }", "names of variables are expected, without values"),
        ("here: local", "here: locl", "'locl' means nothing here .*did you mean \"local\""),
        ("[ there ]", "[ elsewhere ]", "'elsewhere' is not one of"),
        ("[ 3 ]", "[ 0 ]", "0 means something else already"),
        ("[ 3 ]", "[ 256 ]", "an exit code from 0 to 255"),
        ("argv: [ /bin/drop ], ", "", 'missing key "argv"'),
        ("timeout: 2m", "timeout: 2h", "too long"),
    ],
)
def test_what_is_wrong_with_a_command_is_said(tmp_path: Path, old: str, new: str, why: str) -> None:
    assert old in GOOD
    with pytest.raises(WrongSettings, match=why):
        read(tmp_path, GOOD.replace(old, new))


def test_a_machine_over_ssh_is_read_with_all_that_it_says(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("a key", encoding="ascii")
    (tmp_path / "known_hosts").write_text("", encoding="ascii")
    settings = read(tmp_path, SSH)
    host = settings.connections_host["web-1"]
    assert host.folder == Path("/var/lib/responder/commands")
    assert host.ssh is not None
    assert (host.ssh.address, host.ssh.port, host.ssh.user) == ("web-1.example.org", 2222, "responder")
    assert (host.ssh.key_file, host.ssh.known_hosts) == (tmp_path / "id", tmp_path / "known_hosts")
    assert (host.ssh.python, host.ssh.timeout.total_seconds()) == ("/usr/bin/python3", 3)
    assert "a key" in settings.secrets
    assert {host.ssh.key_file, host.ssh.known_hosts} <= set(settings.files)  # doctor looks who may read them


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("        known_hosts: known_hosts\n", "", 'missing key "known_hosts"'),
        ("        key_file: id\n", "", 'missing key "key_file"'),
        ("        user: responder\n", "", 'missing key "user"'),
        (
            "      folder: /var/lib/responder/commands\n",
            "",
            'missing key "folder".*where journals are kept on that machine',
        ),
        ("/var/lib", "var/lib", "the path of a folder is expected, from / on"),
        ("key_file: id", "key_file: none", "the file that is named here cannot be read: No such file"),
        ("known_hosts: known_hosts", "known_hosts: none", "none is not there.*ssh-keyscan"),
        ("port: 2222", "port: 2222\n        connect_timeout: 1m", "too long"),
        ("port: 2222", "port: 2222\n        password: x", "unknown key"),
    ],
)
def test_what_is_wrong_with_a_machine_over_ssh_is_said(tmp_path: Path, old: str, new: str, why: str) -> None:
    (tmp_path / "id").write_text("a key", encoding="ascii")
    (tmp_path / "known_hosts").write_text("", encoding="ascii")
    assert old in SSH
    with pytest.raises(WrongSettings, match=why):
        read(tmp_path, SSH.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("command: restart", "command: restrat", "unknown-command"),
        ('unit: "{{ labels.unit }}"\n', "unti: x\n", "command-input"),
        ('unit: "{{ labels.unit }}"\n', "unit: X\n", "command-input"),
        ('command: restart\n      with:\n        unit: "{{ labels.unit }}"', "command: page-cache", "undo-none"),
        ('command: restart\n      with:\n        unit: "{{ labels.unit }}"', "command: page-cache", "command-host"),
        ("timeout: 3m", "timeout: 119s", "command-timeout"),
        ("    timeout: 3m\n", "", "command-timeout"),
        ("host/here/", "host/nowhere/", "unknown-connection"),
        ("host/here/", "http/here/", "target-elsewhere"),
    ],
)
def test_check_says_what_a_command_is_not(tmp_path: Path, old: str, new: str, rule: str) -> None:
    names = names_of(read(tmp_path, GOOD + "prometheus: { default: 'http://127.0.0.1:9090' }\n"))
    _, complaints = examine(PLAYBOOK, "it.yaml", catalogue(), names)
    assert [str(one) for one in complaints] == []
    assert old in PLAYBOOK
    _, complaints = examine(PLAYBOOK.replace(old, new), "it.yaml", catalogue(), names)
    assert rule in {one.rule for one in complaints}
