"""How a Job has ended: by its conditions, with the reason and the last lines of the pod that says most."""

import contextlib

from responder.actions.kubernetes import Site
from responder.domain.errors import StepError
from responder.domain.images import short
from responder.domain.kubernetes import KINDS
from responder.domain.reconcilers import at, text_at
from responder.ports.action import End, Permission
from responder.ports.tools import Object
from responder.telemetry import shapes

POD = KINDS["pod"]
LOOKING = (
    Permission("", "pods", ("list",), given="wait"),
    Permission("", "pods/log", ("get",), given="wait"),
)
"""What it takes to say more than that it has ended."""
LINES, LENGTH = 5, 200
"""So much of a log is kept: the last lines, and so many characters of each."""
_TAIL, _MOST_BYTES = "50", str(16 * 1024)


async def end_of(job: Object, site: Site) -> End | None:
    """Return how ``job`` has ended, None while it goes on; raises StepError when its pods cannot be listed."""
    name = text_at(job, "metadata", "name")
    failed, complete = _condition(job, "Failed"), _condition(job, "Complete")
    if not failed and not complete:
        return None
    pod = await _telling(name, site)
    log = await _log(pod, site) if pod else ""
    if complete:
        return End(log=log, seen={"job": name})
    about = f"{text_at(pod, 'metadata', 'name')}: {_reason(pod)}" if pod and _reason(pod) else ""
    said = text_at(failed, "message") or text_at(failed, "reason")
    return End("; ".join(filter(None, (f"the Job {name} has failed: {said}", about))), log, {"job": name})


def _condition(job: Object, kind: str) -> Object:
    every = at(job, "status", "conditions")
    found = [one for one in every if isinstance(one, dict)] if isinstance(every, list) else []
    return next((one for one in found if one.get("type") == kind and one.get("status") == "True"), {})


async def _telling(name: str, site: Site) -> Object | None:
    """Return the pod that failed last, else the last one; none when they are gone, or may not be looked at."""
    pods: tuple[Object, ...] = ()
    with contextlib.suppress(StepError):  # it has ended all the same
        pods = await site.of_kind(POD, f"job-name={name}")
    return max(
        pods,
        key=lambda one: (
            text_at(one, "status", "phase") == "Failed",
            text_at(one, "metadata", "creationTimestamp"),
            text_at(one, "metadata", "name"),
        ),
        default=None,
    )


def _containers(pod: Object) -> list[Object]:
    states = at(pod, "status", "containerStatuses")
    return [one for one in states if isinstance(one, dict)] if isinstance(states, list) else []


def _failing(pod: Object) -> Object:
    """Return the container that failed, else the first one."""
    every = _containers(pod)
    failed = [one for one in every if at(_end(one), "exitCode") not in (None, 0)]
    return next(iter([*failed, *every]), {})


def _end(container: Object) -> Object:
    found = at(container, "state", "terminated") or at(container, "lastState", "terminated")
    return found if isinstance(found, dict) else {}


def _reason(pod: Object) -> str:
    """Return why a pod failed: what the kubelet says of it, or of the container that did."""
    container = _failing(pod)
    ended = _end(container)
    code = at(ended, "exitCode")
    why = text_at(ended, "reason") or text_at(container, "state", "waiting", "reason")
    exited = f"exit code {code}" if isinstance(code, int) and code else ""
    return ", ".join(filter(None, (text_at(pod, "status", "reason"), why, exited)))


async def _log(pod: Object, site: Site) -> str:
    query = {"tailLines": _TAIL, "limitBytes": _MOST_BYTES, "container": text_at(_failing(pod), "name")}
    try:
        text = await site.cluster.text(POD.path(site.place.namespace, text_at(pod, "metadata", "name"), "log"), query)
    except StepError as error:
        return f"(its log cannot be read: {short(str(error), LENGTH)})"
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(short(shapes().redact(line), LENGTH) for line in lines[-LINES:])
