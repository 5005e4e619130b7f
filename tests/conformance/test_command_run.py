"""What ``command.run`` promises beyond what every action does: no shell, once, ended in time, and read back later."""

import ast
import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from responder.clients import supervisor
from responder.clients.hosts import LocalHost
from responder.clients.toolbox import HostSpec, Toolbox
from responder.domain.errors import Permanent, StepError, Temporary, Uncertain
from responder.domain.records import Record, RecordState
from responder.language.commands import Codes, Command, Job
from responder.ports.action import Landed
from tests.bed.ledger_command import entries
from tests.bed.waiting import eventually
from tests.conformance.action_bed import applied, intended, landed
from tests.conformance.bed_command import BLIND, CODES, SHAPES, TARGET, CommandBed, opened

PYTHON = (sys.executable, "-I", "-S", "-c")


@pytest.fixture
async def bed(request: pytest.FixtureRequest) -> AsyncIterator[CommandBed]:
    async with opened(request, BLIND) as one:
        yield one


def host_of(bed: CommandBed, *, patience: float = 7) -> LocalHost:
    return LocalHost("here", bed.journals, bed.commands, patience=patience)


async def test_without_a_landed_command_nobody_can_tell_what_a_killed_supervisor_has_left(bed: CommandBed) -> None:
    action = BLIND.make()
    record = await intended(action, bed.tools, TARGET)
    await bed.fault("killed before")
    with pytest.raises(Uncertain):
        await action.apply(TARGET, record, bed.tools)
    await bed.heal()
    assert await landed(action, record, "do", bed.tools) is Landed.UNKNOWN


async def test_what_takes_its_time_goes_on_without_whoever_asked_and_is_found_done(bed: CommandBed) -> None:
    """Given up, and looked at by another process: the command has begun once and ends by itself."""
    action = BLIND.make()
    record = await intended(action, bed.tools, TARGET)
    await bed.fault("slow")
    task = asyncio.create_task(action.apply(TARGET, record, bed.tools))
    await eventually(lambda: _begun(bed, record))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    other = Toolbox({}, {}, hosts={"here": HostSpec(bed.journals)}, commands=bed.commands)
    assert await action.landed(TARGET, record, "do", other) is Landed.RUNNING
    with pytest.raises(Uncertain, match="begun before"):
        await action.apply(TARGET, replace(record, state=RecordState.INTENDED), other)
    bed.ledger.with_suffix(".go").touch()

    async def done() -> bool:
        return await action.landed(TARGET, record, "do", other) is Landed.YES

    await eventually(done)
    assert len(entries(bed.ledger)) == 1


def _begun(bed: CommandBed, record: Record) -> bool:
    path = bed.journals / f"{record.id}-do.json"
    return path.exists() and "leader" in path.read_text(encoding="utf-8")


async def test_what_runs_longer_than_one_waits_is_in_doubt_and_not_ended(bed: CommandBed) -> None:
    host = host_of(bed, patience=0.2)
    await bed.fault("slow")
    job = host.job("known", {"item": "it", "value": "busy"})
    with pytest.raises(Uncertain, match="still runs"):
        await host.run(job, "k:do", await host.place())
    bed.ledger.with_suffix(".go").touch()
    await eventually(lambda: len(entries(bed.ledger)) == 1)


async def test_a_timeout_ends_the_whole_process_group(bed: CommandBed) -> None:
    host, told = host_of(bed), bed.ledger.with_suffix(".pid")
    child = f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    parent = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-I', '-S', '-c', {child!r}]); time.sleep(60)"
    )
    with pytest.raises(Uncertain, match="took longer than 1 s and was ended"):
        await host.run(Job((*PYTHON, parent), seconds=1), "k:do", await host.place())
    await eventually(lambda: not lives(int(told.read_text(encoding="utf-8"))))


def lives(pid: int) -> bool:
    """Say whether a process is there and no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    return False


async def test_exit_codes_mean_what_the_configuration_says(bed: CommandBed) -> None:
    action = BLIND.make()
    await bed.fault("nothing")
    nothing = await applied(action, bed.tools, TARGET)
    assert isinstance(nothing.observed, dict)
    assert nothing.observed["nothing_to_do"] is True
    await action.undo(TARGET, nothing, bed.tools)
    assert await bed.changes() == 0  # there is nothing to undo

    odd = await intended(action, bed.tools, TARGET)
    await bed.fault("odd")
    with pytest.raises(Uncertain, match="ended with 9, of which nobody has said what it means"):
        await action.apply(TARGET, odd, bed.tools)
    assert await landed(action, odd, "do", bed.tools) is Landed.UNKNOWN

    failed = await intended(action, bed.tools, TARGET)
    await bed.fault("fails")
    with pytest.raises(Permanent, match="ended with 2: setting it with <secret>"):
        await action.apply(TARGET, failed, bed.tools)
    assert await landed(action, failed, "do", bed.tools) is Landed.NEVER


async def test_a_program_that_has_run_and_left_nothing_is_not_run_again(bed: CommandBed) -> None:
    """It may have done half of its work: `landed` is asked, and its no leaves that open."""
    action = SHAPES["with landed"].make()
    record = await intended(action, bed.tools, TARGET)
    await bed.fault("odd")
    with pytest.raises(Uncertain, match="ended with 9"):
        await action.apply(TARGET, record, bed.tools)
    await bed.heal()
    assert await bed.changes() == 0
    assert await landed(action, record, "do", bed.tools) is Landed.UNKNOWN
    with pytest.raises(Uncertain, match="ended with 9"):
        await action.apply(TARGET, record, bed.tools)
    assert await bed.changes() == 0


async def test_values_are_arguments_and_never_syntax(bed: CommandBed) -> None:
    """Whatever an alert says: one argument, read by nobody but the program."""
    program = f"import json, os, sys; json.dump([sys.argv[1:], dict(os.environ)], open({str(bed.ledger)!r}, 'w'))"
    command = Command("echo", (*PYTHON, program, "--it={{ it }}"), parameters={"it": ".*"})
    host = LocalHost("here", bed.journals, {"echo": command})
    nasty = "a b; rm -rf / $(id) `id` 'q' \"q\" | > < * ~ \\ %s {{ it }}"
    await host.run(host.job("echo", {"it": nasty}), "k:do", await host.place())
    arguments, environment = json.loads(bed.ledger.read_text(encoding="utf-8"))
    assert arguments == [f"--it={nasty}"]
    assert environment["RESPONDER_RECORD"] == "k:do"
    assert "BED_TOKEN" not in environment  # not among the variables that it may see
    assert "BED_TOKEN" in os.environ


async def test_much_output_and_a_child_that_holds_on_to_it_keep_nobody_waiting(bed: CommandBed) -> None:
    host = host_of(bed)
    child = "import time; time.sleep(20)"
    program = (
        f"import subprocess, sys; sys.stdout.write('x' * 3_000_000); sys.stdout.flush();"
        f"subprocess.Popen([sys.executable, '-I', '-S', '-c', {child!r}]); sys.exit(2)"
    )
    job = Job((*PYTHON, program), output=1000, codes=CODES)
    with pytest.raises(Permanent, match=r"ended with 2: x+$"):
        await host.run(job, "k:do", await host.place())
    assert len((bed.journals / "k-do.json").read_text(encoding="utf-8")) < 2000


async def test_what_cannot_be_started_did_nothing(bed: CommandBed) -> None:
    host, place = host_of(bed), await host_of(bed).place()
    jobs = [Job(("/no/such/program",)), Job(PYTHON, folder="/no/such/folder"), Job(PYTHON, user="nobody-by-that-name")]
    for number, job in enumerate(jobs):
        with pytest.raises(Permanent, match="could not be started"):
            await host.run(job, f"k{number}:do", place)


async def test_another_machine_knows_nothing_of_it(bed: CommandBed, tmp_path: Path) -> None:
    """Two replicas with one store: what one has begun is not begun again by the other."""
    action = SHAPES["with landed"].make()
    record = await applied(action, bed.tools, TARGET)
    other = Toolbox({}, {}, hosts={"here": HostSpec(tmp_path / "journals")}, commands=bed.commands)
    assert await landed(action, record, "do", other) is Landed.UNKNOWN
    with pytest.raises(Permanent, match="another machine"):
        await action.apply(TARGET, record, other)
    with pytest.raises(Permanent, match="another machine"):
        await action.undo(TARGET, record, other)
    assert await bed.changes() == 1


@pytest.mark.promise(7)
async def test_who_sends_late_finds_its_key_used(bed: CommandBed) -> None:
    """Frozen between the permission and the start, while a successor has sent and is done."""
    host = host_of(bed)
    place, job = await host.place(), host.job("known", {"item": "it", "value": "busy"})
    successor_done = asyncio.Event()

    async def frozen() -> None:
        await successor_done.wait()

    late = asyncio.create_task(host.behind(frozen).run(job, "k:do", place))
    assert await host.outcome(job, "k:do", place) == "no"
    assert await host.run(job, "k:do", place)
    successor_done.set()
    assert await late  # answered with what came of it
    assert len(entries(bed.ledger)) == 1


async def test_putting_aside_that_comes_late_leaves_what_has_been_begun_since(bed: CommandBed) -> None:
    """Stuck on its way while somebody else has put the same journal aside and used the key again."""
    host, job = host_of(bed), Job((*PYTHON, "import sys; sys.exit(2)"), codes=CODES)
    with pytest.raises(Permanent, match="ended with 2"):
        await host.run(job, "k:do", await host.place())
    late = {"do": "retire", "journals": str(bed.journals), "key": "k:do", "id": _id(bed)}
    assert await host.outcome(job, "k:do", await host.place()) == "never"
    assert await host.run(replace(job, argv=("/bin/true",)), "k:do", await host.place())
    begun_since = _id(bed)
    supervisor.answer(late)
    assert _id(bed) == begun_since


def _id(bed: CommandBed) -> str:
    return str(json.loads((bed.journals / "k-do.json").read_text(encoding="utf-8"))["id"])


def test_a_word_to_begin_that_was_stuck_on_its_way_is_not_heard(tmp_path: Path) -> None:
    text = Path(supervisor.__file__).read_text(encoding="utf-8").replace("GO_SECONDS = 10", "GO_SECONDS = 1")
    told = {"do": "run", "journals": str(tmp_path), "place": supervisor.place(tmp_path), "key": "k:do"}
    with subprocess.Popen((*PYTHON, text), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(told).encode() + b"\n")
        process.stdin.flush()
        assert process.wait(5) == -signal.SIGALRM
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_what_is_sent_to_other_machines_is_read_by_an_older_python() -> None:
    text = Path(supervisor.__file__).read_text(encoding="utf-8")
    ast.parse(text, feature_version=(3, 9))
    imported = {name.partition(".")[0] for name in re.findall(r"^(?:from|import) ([a-z_.]+)", text, re.MULTILINE)}
    assert imported <= sys.stdlib_module_names


def test_a_secret_that_is_cut_in_two_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BED_TOKEN", "a-long-secret")
    job = {"hidden": ["BED_TOKEN"], "output": 20}
    assert supervisor.masked(job, b"it is a-long-secret") == "it is <secret>"
    assert supervisor.masked(job, b"it is now a-long-sec") == "it is no"


def test_a_value_that_does_not_fit_is_refused() -> None:
    command = Command("it", ("/bin/it", "{{ unit }}", "-n{{ n }}"), parameters={"unit": "[a-z-]+", "n": "[0-9]+"})
    assert command.job({"unit": "shop", "n": "3"}).argv == ("/bin/it", "shop", "-n3")
    for values, why in (
        ({"unit": "shop"}, "needs the parameter n"),
        ({"unit": "shop", "n": "3", "more": "x"}, "no parameter more"),
        ({"unit": "shop\n", "n": "3"}, "does not fit"),
        ({"unit": "shop", "n": "3; id"}, "does not fit"),
        ({"unit": "-rf", "n": "3"}, "read as an option"),
        ({"unit": "a" * 1001, "n": "3"}, "does not fit"),
    ):
        with pytest.raises(ValueError, match=why):
            command.job(values)
    with pytest.raises(ValueError, match="no undo"):
        command.job({"unit": "shop", "n": "3"}, "undo")


async def test_where_it_may_not_run_it_does_not(bed: CommandBed) -> None:
    elsewhere = replace(bed.commands["known"], hosts=frozenset({"there"}), usual=Job((), codes=Codes()))
    host = LocalHost("here", bed.journals, {"known": elsewhere})
    with pytest.raises(Permanent, match="may not run on here"):
        host.job("known", {"item": "it", "value": "busy"})
    with pytest.raises(Permanent, match="no command is called 'other'"):
        host.job("other", {})
    with pytest.raises(StepError):
        bed.tools.host("there")
    bed.journals.write_text("", encoding="utf-8")  # a file in the place of the folder
    with pytest.raises(Temporary, match="cannot be kept"):
        await host.place()
