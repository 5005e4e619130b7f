"""What a playbook's ``diagnose`` finds: bounded in time and size; whatever goes wrong is said in its place."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from responder.domain.errors import StepError
from responder.domain.findings import Finding
from responder.domain.images import short
from responder.playbook.model import Diagnosis, Playbook
from responder.playbook.render import render_diagnosis, render_text
from responder.ports.probe import Reading, Value
from responder.ports.tools import Tools

LOOK_SECONDS = 5.0
"""All looks of a playbook together: a run that is about to change something waits no longer for them."""
VALUES, VALUE, NOTE = 6, 60, 240
"""How many values are shown, and characters of each and of what the probe says beside them."""
KIND = "diagnose"


async def diagnose(
    playbook: Playbook,
    of: str,
    names: Mapping[str, object],
    tools: Tools,
    now: Callable[[], datetime],
    *,
    seconds: float = LOOK_SECONDS,
) -> Sequence[Finding]:
    """Take every look of ``playbook`` side by side; ``of`` is the run or alert that they are about. Raises nothing."""
    looks = [_look(one, names, tools, seconds) for one in playbook.diagnose]
    said = await asyncio.gather(*looks)
    return [
        Finding(f"{KIND}:{of}:{place:02}", now(), f"{render_text(one.name, names)}: {text}", body)
        for place, (one, (text, body)) in enumerate(zip(playbook.diagnose, said, strict=True))
    ]


async def _look(one: Diagnosis, names: Mapping[str, object], tools: Tools, seconds: float) -> tuple[str, str]:
    labels = names["labels"]
    try:
        async with asyncio.timeout(seconds):
            probe = render_diagnosis(one, names)
            return said(await probe.look(labels if isinstance(labels, Mapping) else {}, tools))
    except TimeoutError:
        return f"no answer within {seconds:g} s", ""
    except (StepError, ValueError) as error:
        return f"could not be looked at: {error}", ""
    except Exception as error:  # noqa: BLE001 - a probe's fault must cost its own line, not the message or the run
        return f"could not be looked at: {type(error).__name__}", ""


def said(reading: Reading) -> tuple[str, str]:
    """Return what a probe saw as a line, and its whole note where that is longer."""
    shown = [_value(one) for one in reading.values[:VALUES]]
    more = [f"{len(reading.values) - VALUES} more"] if len(reading.values) > VALUES else []
    values = ", ".join([*shown, *more]) or "no data"
    note = " ".join(reading.note.split())
    line = f"{values} ({short(note, NOTE)})" if note else values
    return line, reading.note.strip() if len(note) > NOTE or "\n" in reading.note.strip() else ""


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float | int) else short(value, VALUE)
