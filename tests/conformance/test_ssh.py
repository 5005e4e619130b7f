"""What commands on another machine promise beyond the suite, on a real sshd: lost lines, strange keys, no shell."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from responder.cli.hosts import look_at_commands
from responder.domain.errors import Permanent, Temporary, Uncertain
from responder.domain.records import RecordState
from responder.language.commands import Command, Job
from responder.ports.action import Landed
from responder.settings import load_settings
from tests.bed.ledger_command import entries
from tests.bed.proxy import Mode
from tests.bed.ssh import Sshd
from tests.bed.waiting import eventually
from tests.conformance.action_bed import intended
from tests.conformance.bed_command import TARGET
from tests.conformance.bed_ssh import SHAPES, SshBed, beside
from tests.conformance.test_command_run import PYTHON, lives

SETTINGS = """\
connections:
  host:
    there:
      folder: FOLDER/journals
      ssh: { address: 127.0.0.1, port: PORT, user: USER, key_file: FOLDER/id, known_hosts: FOLDER/known_hosts }
    down:
      folder: /x
      ssh: { address: 127.0.0.1, port: 1, user: USER, key_file: FOLDER/id, known_hosts: FOLDER/known_hosts }
commands:
  good: { argv: [ /bin/true ] }
  missing: { argv: [ /no/such/program ] }
"""


@pytest.fixture
async def bed(sshd: Sshd) -> AsyncIterator[SshBed]:
    async with beside(sshd) as one:
        yield one


@pytest.mark.promise(6)
async def test_a_line_that_is_lost_while_it_runs_leaves_it_running_and_it_is_found_done_over_another(
    bed: SshBed,
) -> None:
    action = SHAPES["with landed"].make()
    record = await intended(action, bed.tools, TARGET)
    await bed.fault("slow")
    task = asyncio.create_task(action.apply(TARGET, record, bed.tools))
    await eventually(lambda: any(bed.journals.glob("*.json")) and "leader" in _journal(bed))
    await bed.proxy.switch(Mode.RESET)
    with pytest.raises(Uncertain):
        await task
    with pytest.raises(Temporary, match="cannot be reached"):
        await action.landed(TARGET, record, "do", bed.tools)
    await bed.proxy.switch(Mode.PASS)
    assert await action.landed(TARGET, record, "do", bed.tools) is Landed.RUNNING
    with pytest.raises(Uncertain, match="begun before"):
        await action.apply(TARGET, replace(record, state=RecordState.INTENDED), bed.tools)
    bed.ledger.with_suffix(".go").touch()

    async def done() -> bool:
        return await action.landed(TARGET, record, "do", bed.tools) is Landed.YES

    await eventually(done)
    assert len(entries(bed.ledger)) == 1


def _journal(bed: SshBed) -> str:
    return next(bed.journals.glob("*.json")).read_text(encoding="utf-8")


async def test_a_timeout_ends_the_whole_process_group_though_the_line_is_lost(bed: SshBed) -> None:
    host, told = bed.host(), bed.ledger.with_suffix(".pid")
    child = f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    parent = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-I', '-S', '-c', {child!r}]); time.sleep(60)"
    )
    job, place = Job((*PYTHON, parent), seconds=1), await host.place()
    task = asyncio.create_task(host.run(job, "k:do", place))
    await eventually(lambda: told.exists() and told.read_text(encoding="utf-8"))
    await bed.proxy.switch(Mode.RESET)
    with pytest.raises(Uncertain):
        await task
    await eventually(lambda: not lives(int(told.read_text(encoding="utf-8"))))
    await bed.proxy.switch(Mode.PASS)

    async def ended() -> str:
        return await host.told(job, "k:do", place)

    assert "took longer than 1 s and was ended" in await eventually(ended)
    assert await host.outcome(job, "k:do", place) == "unknown"


async def test_a_line_that_is_lost_before_the_word_to_begin_leaves_nothing(bed: SshBed) -> None:
    host = bed.host()
    job, place = host.job("known", {"item": "it", "value": "busy"}), await host.place()

    async def cut() -> None:
        await bed.proxy.switch(Mode.RESET)

    with pytest.raises(Uncertain):  # the word may have been on its way
        await host.behind(cut).run(job, "k:do", place)
    await bed.proxy.switch(Mode.PASS)
    assert await host.outcome(job, "k:do", place) == "no"
    assert await host.run(job, "k:do", place)
    assert len(entries(bed.ledger)) == 1


async def test_nothing_is_sent_to_a_machine_that_cannot_show_the_known_key(bed: SshBed) -> None:
    known = bed.journals.with_name("known")
    for line in ("", f"[127.0.0.1]:* {(bed.server.folder / 'other.pub').read_text(encoding='ascii')}"):
        known.write_text(line, encoding="ascii")
        stranger = bed.host(replace(bed.spec, known_hosts=known))
        mend = rf"host key of 127\.0\.0\.1 port \d+ is not the one in {re.escape(str(known))}.*ssh-keyscan -p"
        with pytest.raises(Permanent, match=mend):
            await stranger.place()
        with pytest.raises(Permanent, match=mend):
            await stranger.run(Job(("/bin/true",)), "k:do", "a/place")
    assert not bed.journals.exists()


async def test_what_keeps_a_machine_from_being_used_is_said(bed: SshBed) -> None:
    folder, spec = bed.server.folder, bed.spec
    for other, kind, why in (
        (
            replace(spec, key_file=folder / "other"),
            Permanent,
            "with .*other: is its public half in",
        ),
        (replace(spec, key_file=folder / "none"), Permanent, "none cannot be read: No such file"),
        (replace(spec, key_file=folder / "known_hosts"), Permanent, "known_hosts cannot be used"),
        (replace(spec, known_hosts=folder / "none"), Permanent, "none cannot be read: No such file"),
        (replace(spec, python="/no/such/python"), Temporary, "nothing could be started there: .*/no/such/python"),
    ):
        with pytest.raises(kind, match=why):
            await bed.host(other).place()


async def test_a_user_without_a_name_is_told_how_to_give_itself_one(
    bed: SshBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.setattr("pwd.getpwuid", unknown)  # as in a container that runs as a number
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Permanent, match="Unknown local username: set one of LOGNAME, USER"):
        await bed.host().place()
    monkeypatch.setenv("LOGNAME", "responder")
    assert await bed.host().place()


async def test_values_are_arguments_and_no_shell_reads_them_there(bed: SshBed) -> None:
    program = f"import json, os, sys; json.dump([sys.argv[1:], dict(os.environ)], open({str(bed.ledger)!r}, 'w'))"
    bed.commands["echo"] = Command("echo", (*PYTHON, program, "--it={{ it }}"), parameters={"it": ".*"})
    host = bed.host()
    nasty = "a b; rm -rf / $(id) `id` 'q' \"q\" | > < * ~ \\ ! %s {{ it }} é"
    await host.run(host.job("echo", {"it": nasty}), "k:do", await host.place())
    arguments, environment = json.loads(bed.ledger.read_text(encoding="utf-8"))
    assert arguments == [f"--it={nasty}"]
    assert environment["RESPONDER_RECORD"] == "k:do"
    assert not {"BED_TOKEN", "SSH_CONNECTION"} & environment.keys()  # not among the variables that it may see


async def test_much_output_comes_whole_and_a_shell_that_greets_does_no_harm(bed: SshBed) -> None:
    host = bed.host()
    answer = await host.read((*PYTHON, "print('x' * 200_000)"))
    assert len(answer.text) == 200_001
    greeting = bed.journals.with_name("greeting")
    greeting.write_text(f'#!/bin/sh\necho Welcome\nexec {sys.executable} "$@"\n', encoding="ascii")
    greeting.chmod(0o755)
    assert await bed.host(replace(bed.spec, python=str(greeting))).place() == await host.place()


async def test_doctor_asks_there_and_changes_nothing(bed: SshBed, sshd: Sshd) -> None:
    text = SETTINGS.replace("PORT", str(sshd.port)).replace("USER", bed.spec.user)
    file = sshd.folder / "responder.yml"
    file.write_text(text.replace("FOLDER", str(sshd.folder)), encoding="utf-8")
    said = [str(one) for one in await look_at_commands(load_settings(file, {}))]
    for words in (
        "✔ command good: /bin/true",
        "✘ command missing: /no/such/program is not a program that can be run here (there)",
        f"✔ connection host/there: journals in {sshd.folder}/journals, on 127.0.0.1 with Python 3.",
        "✘ connection host/down: 127.0.0.1 port 1 cannot be reached",
    ):
        assert any(one.startswith(words) for one in said), (words, said)
    assert not (sshd.folder / "journals").exists()
