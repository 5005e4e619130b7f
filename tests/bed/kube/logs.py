"""What containers have written, and how ``pods/log`` reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.bed.kube import errors
from tests.bed.kube.kinds import flag
from tests.bed.kube.store import Clock, instant, stamp
from tests.bed.web import JsonObject

Line = tuple[float, str]


@dataclass(slots=True)
class Logs:
    """Lines by (uid of the pod, container, how often it was restarted before)."""

    clock: Clock
    lines: dict[tuple[str, str, int], list[Line]] = field(default_factory=dict)

    def write(self, pod: JsonObject, container: str, text: str, restarts: int = 0) -> None:
        """Let a container write `text`, a line or more."""
        key = (pod["metadata"]["uid"], container, restarts)
        now = self.clock.now()
        self.lines.setdefault(key, []).extend((now, line) for line in text.splitlines())

    def read(self, pod: JsonObject, query: Mapping[str, str]) -> str:
        """Return what a request for the log of `pod` gets; raise 400 when there is none to be had."""
        name, status = _container(pod, query.get("container", ""))
        attempt = _attempt(pod, name, status, previous=flag(query, "previous"))
        found = self.lines.get((pod["metadata"]["uid"], name, attempt), [])
        return _shown(_chosen(found, query, self.clock.now()), query)


def _container(pod: JsonObject, wanted: str) -> tuple[str, JsonObject]:
    containers = [one["name"] for one in pod["spec"].get("containers", ())]
    initial = [one["name"] for one in pod["spec"].get("initContainers", ())]
    name = pod["metadata"]["name"]
    if not wanted and len(containers) > 1:
        choice = f"choose one of: [{' '.join(containers)}]"
        if initial:
            choice += f" or one of the init containers: [{' '.join(initial)}]"
        raise errors.bad_request(f"a container name must be specified for pod {name}, {choice}")
    wanted = wanted or containers[0]
    if wanted not in {*containers, *initial}:
        raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
    status = pod.get("status", {})
    known = [*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ())]
    return wanted, next((one for one in known if one["name"] == wanted), {})


def _attempt(pod: JsonObject, name: str, status: JsonObject, *, previous: bool) -> int:
    """Return which run of a container is meant: the one that runs or ran last, or the last one that has ended."""
    restarts: int = status.get("restartCount", 0)
    waiting = status.get("state", {"waiting": {}}).get("waiting")
    ended = "terminated" in status.get("lastState", {})
    if previous and not ended:
        said = f'previous terminated container "{name}" in pod "{pod["metadata"]["name"]}" not found'
        raise errors.bad_request(said)
    if waiting is not None and not ended:
        raise _waiting(pod, name, status)
    if waiting is not None:  # a run that is to be restarted later is counted only when it is
        return restarts if waiting.get("reason") == "CrashLoopBackOff" else restarts - 1
    return restarts - 1 if previous else restarts


def _waiting(pod: JsonObject, name: str, status: JsonObject) -> errors.ApiError:
    reason = status.get("state", {}).get("waiting", {}).get("reason", "ContainerCreating")
    if reason in {"ErrImagePull", "ImagePullBackOff"}:
        reason = "trying and failing to pull image"
    return errors.bad_request(f'container "{name}" in pod "{pod["metadata"]["name"]}" is waiting to start: {reason}')


def _chosen(lines: list[Line], query: Mapping[str, str], now: float) -> list[Line]:
    if "sinceSeconds" in query:
        lines = [line for line in lines if line[0] >= now - _positive(query, "sinceSeconds", 1)]
    if "sinceTime" in query:
        lines = [line for line in lines if line[0] >= instant(query["sinceTime"])]
    if "tailLines" in query:
        count = _positive(query, "tailLines", 0)
        lines = lines[-count:] if count else []
    return lines


def _shown(lines: list[Line], query: Mapping[str, str]) -> str:
    timed = flag(query, "timestamps")
    text = "".join(f"{stamp(when)} {line}\n" if timed else f"{line}\n" for when, line in lines)
    if "limitBytes" in query:
        text = text.encode()[: _positive(query, "limitBytes", 1)].decode(errors="ignore")
    return text


def _positive(query: Mapping[str, str], name: str, least: int) -> int:
    try:
        number = int(query[name])
    except ValueError:
        number = least - 1
    if number < least:
        rule = "must be greater than 0" if least else "must be greater than or equal to 0"
        cause = errors.cause("FieldValueInvalid", name, f"Invalid value: {query[name]}: {rule}")
        raise errors.invalid("", "PodLogOptions", "", [cause])
    return number
