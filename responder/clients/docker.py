"""The Docker Engine API over its local socket: few calls, each sent once."""

import copy
import json
from collections.abc import Mapping
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import aiohttp
from pydantic import JsonValue

from responder.clients.sessions import gates, plainly
from responder.domain.errors import Permanent, StepError, Temporary, Uncertain
from responder.ports.tools import Gate

VERSION = "v1.41"
"""Of the API: Docker 20.10 and later."""
MAX_ANSWER_BYTES = 1024 * 1024
SHOWN = 200


class DockerClient:
    """A configured engine (``ports.containers.Engine``)."""

    def __init__(
        self, name: str, path: Path, containers: tuple[str, ...], *, timeout: timedelta = timedelta(seconds=8)
    ) -> None:
        """``containers`` are names, with ``*`` for any text. ``timeout`` bounds a call with everything in it."""
        self._name = name
        self._path = path
        self._containers = containers
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())
        self._gate: Gate | None = None
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()

    def behind(self, gate: Gate) -> "DockerClient":
        """See ``ports.containers.Engine.behind``."""
        self._open()
        gated = copy.copy(self)
        gated._gate = gate  # noqa: SLF001 - our own copy, with the same session
        return gated

    async def inspect(self, container: str) -> Mapping[str, JsonValue]:
        """See ``ports.containers.Engine.inspect``."""
        body = await self._call("GET", f"{self._of(container)}/json", None)
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Temporary(f"{self._name}: its answer cannot be understood") from error
        return found if isinstance(found, dict) else {}

    async def restart(self, container: str, seconds: int) -> None:
        """See ``ports.containers.Engine.restart``."""
        await self._call("POST", f"{self._of(container)}/restart?t={seconds}", None)

    async def update(self, container: str, limits: Mapping[str, JsonValue]) -> None:
        """See ``ports.containers.Engine.update``."""
        await self._call("POST", f"{self._of(container)}/update", dict(limits))

    def _of(self, container: str) -> str:
        if not any(fnmatchcase(container, pattern) for pattern in self._containers):
            raise Permanent(f"{container} is not among connections.docker.{self._name}.containers")
        return f"http://docker/{VERSION}/containers/{container}"

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.UnixConnector(path=str(self._path), limit=4)
            session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, trace_configs=[gates()])
            session._retry_connection = False  # noqa: SLF001 - as for every service: an effect goes out once
            self._session = session
        return self._session

    async def _call(self, method: str, url: str, body: JsonValue) -> bytes:
        reading = method == "GET"
        gate = None if reading else self._gate
        try:
            async with self._open().request(method, url, json=body, trace_request_ctx=gate) as answer:
                status, said = answer.status, await answer.content.read(MAX_ANSWER_BYTES)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # One of a socket has neither host nor port to name.
            why = error.os_error.strerror if isinstance(error, aiohttp.ClientConnectorError) else plainly(error)
            raise Temporary(f"{self._name} cannot be reached: {why}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise (Temporary if reading else Uncertain)(f"{self._name}: no answer: {plainly(error)}") from error
        if status < 300:  # noqa: PLR2004 - the 2xx class
            return said
        raise _refused(status, f"{self._name} answered {status}: {_message(said)}", reading=reading)


def _refused(status: int, message: str, *, reading: bool) -> StepError:
    if status >= 500:  # noqa: PLR2004 - the 5xx class
        return (Temporary if reading else Uncertain)(message)
    return (Temporary if status == 409 else Permanent)(message)  # noqa: PLR2004 - Conflict: something else is under way


def _message(body: bytes) -> str:
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    text = str(found.get("message", "")) if isinstance(found, dict) else ""
    return "".join(sign if sign.isprintable() else " " for sign in text)[:SHOWN]
