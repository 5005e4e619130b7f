"""The web's parts, made from the runtime: what its handlers read and ask for."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import JsonValue

from responder import __version__
from responder.app.chat import Chat
from responder.app.runtime import Runtime
from responder.domain.errors import PlaybookError, Unavailable
from responder.domain.runs import Run
from responder.domain.seals import Head
from responder.intake.buffer import CommittingBuffer
from responder.playbook.model import Playbook
from responder.web.application import make_application
from responder.web.parts import Parts
from responder.web.server import WebServer
from responder.web.web_config import WebConfigFile

JsonObject = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Web:
    """The server with its addresses taken, and what collects the deliveries that it receives."""

    server: WebServer
    buffer: CommittingBuffer
    chat: Chat

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen; leaving the block answers what was taken and closes the listeners."""
        await self.server.start()
        await self.chat.start()
        try:
            yield
        finally:
            await self.server.stop()
            await self.chat.stop()
            await self.buffer.close()


@asynccontextmanager
async def bound(runtime: Runtime) -> AsyncIterator[Web]:
    """Take the addresses to listen on before anything begins that a taken address would have to break off."""
    buffer = CommittingBuffer(runtime.store, lambda: runtime.wake.notify("deliveries"), runtime.on_fact)
    web_config = WebConfigFile(runtime.options.web_config)
    parts = Parts(
        settings=lambda: runtime.settings,
        people=runtime.store,
        intake=buffer,
        now=runtime.store.now,
        on_fact=runtime.on_fact,
        render_metrics=runtime.telemetry.metrics.render,
        ready=lambda: _ready(runtime),
        reload=runtime.reload,
        depths=runtime.store.depths,
        playbooks=lambda: [_playbook(runtime, one) for one in runtime.shelf.library.playbooks.values()],
        complaints=lambda: _complaints(runtime, web_config),
        approvers=lambda run: _approvers(runtime, run),
        explain=lambda labels: _explain(runtime, labels),
        report=_report,
        verify=lambda: _verify(runtime),
        web_config=web_config,
        mask=runtime.redactor.redact_json,
        suspicion=runtime.store.suspicion,
        version=__version__,
        role=runtime.options.role,
        started_at=datetime.now(UTC),
    )
    chat = Chat(parts)
    runtime.followers.append(chat.follow)
    server = WebServer(make_application(parts, chat.desk), runtime.settings.listen)
    await server.bind()
    try:
        yield Web(server, buffer, chat)
    finally:
        await server.stop()


async def _ready(runtime: Runtime) -> str:
    await runtime.store.ping()
    return ""


def _playbook(runtime: Runtime, playbook: Playbook) -> JsonObject:
    return {
        "name": playbook.name,
        "summary": playbook.summary,
        "owner": playbook.owner,
        "mode": playbook.mode.value,
        "priority": playbook.priority,
        "revision": playbook.revision,
        "file": playbook.file,
        "stale": playbook.file in runtime.shelf.library.stale,
        "matchers": [[str(matcher) for matcher in alternative] for alternative in playbook.alternatives],
        "target": playbook.target.text if playbook.target else "",
        "steps": [step.action.name for step in playbook.steps],
    }


def _complaints(runtime: Runtime, web_config: WebConfigFile) -> Sequence[JsonObject]:
    return [
        {
            "file": one.file,
            "line": one.line,
            "column": one.column,
            "severity": one.severity,
            "message": one.message,
            "rule": one.rule,
            "hint": one.hint,
        }
        for one in (*web_config.complaints, *runtime.complaints)
    ]


async def _approvers(runtime: Runtime, run: Run) -> Sequence[str]:
    try:
        playbook = await runtime.shelf.of(run)
    except PlaybookError as error:
        raise Unavailable("another version of the responder wrote this playbook: ask one of its replicas") from error
    return playbook.approval.from_ if playbook is not None else ("role:operator",)


async def _verify(runtime: Runtime) -> JsonObject:
    """Hold the audit log against its segments, and those against the heads file of this process."""
    path = None if runtime.heads is None else runtime.heads.path
    heads: Sequence[Head] = ()
    unread = ""
    try:
        heads = () if runtime.heads is None else await runtime.heads.kept()
    except FileNotFoundError:
        unread = f"the heads file {path} is gone"
    except (OSError, ValueError) as error:
        unread = f"the heads file {path} cannot be read: {error}"
    found = await runtime.store.verify_audit(heads, runtime.settings.retention["audit"])
    problems: list[JsonValue] = [unread] if unread and found.segments else []
    return {
        "segments": found.segments,
        "entries": found.entries,
        "unsealed": found.unsealed,
        "heads": found.heads,
        "heads_file": "" if path is None else str(path),
        "problems": [*problems, *found.problems],
    }


def _explain(runtime: Runtime, labels: Mapping[str, str]) -> JsonObject:
    """Say which playbooks an alert with these labels would match now, in the order in which they are tried."""
    candidates = runtime.shelf.library.candidates(dict(labels))
    return {
        "candidates": [
            {"playbook": one.name, "mode": runtime.rules.mode_for(labels, one.mode).value} for one in candidates
        ],
    }


async def _report(_: Mapping[str, str]) -> JsonObject:
    raise ValueError("reports are reserved for later")
