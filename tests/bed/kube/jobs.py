"""The job and the cron job controllers."""

from collections.abc import Iterator

from tests.bed.kube.conditions import Finding, holds, set_condition
from tests.bed.kube.deletion import Deletion, delete
from tests.bed.kube.kinds import place_of
from tests.bed.kube.pods import drop, pod_of, ready
from tests.bed.kube.schedules import following
from tests.bed.kube.store import draft, instant, stamp
from tests.bed.kube.world import World, going, owned, owned_by
from tests.bed.web import JsonObject


class Jobs:
    """Runs pods until enough have succeeded, or too many failed."""

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for found in world.store.every("Job"):
            if going(found):
                continue
            if holds(found["status"], "Complete") or holds(found["status"], "Failed"):
                if self._expired(world, found):
                    yield
                continue
            pods = owned(world, "Pod", found)
            if not found["spec"].get("suspend") and self._start(world, found, pods):
                yield
                continue
            if self._report(world, found, pods):
                yield

    def _expired(self, world: World, job: JsonObject) -> bool:
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        if ttl is None:
            return False
        ended = max(instant(one["lastTransitionTime"]) for one in job["status"]["conditions"])
        world.at(ended + ttl)
        if world.now < ended + ttl:
            return False
        delete(world.objects, place_of(job), Deletion())
        return True

    def _start(self, world: World, job: JsonObject, pods: list[JsonObject]) -> bool:
        """Start one pod, when one is missing."""
        spec = job["spec"]
        done = sum(pod["status"].get("phase") == "Succeeded" for pod in pods)
        failed = _failures(pods)
        active = sum(_active(pod) for pod in pods)
        wanted = spec["parallelism"]
        if "completions" in spec:
            wanted = min(wanted, spec["completions"] - done)
        elif done:
            wanted = active
        if active >= wanted or failed > spec["backoffLimit"] or self._late(world, job):
            return False
        return world.try_create("Pod", pod_of(job, spec["template"]), job, "job-controller") is not None

    def _late(self, world: World, job: JsonObject) -> bool:
        limit, began = job["spec"].get("activeDeadlineSeconds"), job["status"].get("startTime")
        if limit is None or began is None:
            return False
        end = instant(began) + float(limit)
        world.at(end)
        return world.now >= end

    def _report(self, world: World, job: JsonObject, pods: list[JsonObject]) -> bool:
        before, clock = job["status"], world.store.clock
        counts = {
            "active": sum(_active(pod) for pod in pods),
            "ready": sum(_active(pod) and ready(pod) for pod in pods),
            "terminating": sum(going(pod) for pod in pods),
            "succeeded": sum(pod["status"].get("phase") == "Succeeded" for pod in pods),
            "failed": sum(pod["status"].get("phase") == "Failed" for pod in pods),
        }
        status: JsonObject = {key: one for key, one in counts.items() if one or key in {"ready", "terminating"}}
        if not job["spec"].get("suspend"):
            status["startTime"] = before.get("startTime", clock.stamp())
        if "conditions" in before:
            status["conditions"] = draft(before)["conditions"]
        self._judge(world, job, pods, status)
        if status == before:
            return False
        world.set_status(job, status)
        return True

    def _judge(self, world: World, job: JsonObject, pods: list[JsonObject], status: JsonObject) -> None:
        """Say in `status` how the job ended, if it did."""
        spec, clock, succeeded = job["spec"], world.store.clock, status.get("succeeded", 0)
        enough = spec.get("completions", 1 if succeeded and not status.get("active") else None)
        if enough is not None and succeeded >= enough:
            status["completionTime"] = clock.stamp()
            for kind in ("SuccessCriteriaMet", "Complete"):
                finding = Finding(kind, "True", "CompletionsReached", "Reached expected number of succeeded pods")
                set_condition(status, clock, finding)
            world.event(job, "Completed", "Job completed", "job-controller")
        elif _failures(pods) > spec["backoffLimit"]:
            self._fail(world, status, pods, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        elif self._late(world, job):
            self._fail(world, status, pods, "DeadlineExceeded", "Job was active longer than specified deadline")
        elif spec.get("suspend"):
            set_condition(status, clock, Finding("Suspended", "True", "JobSuspended", "Job suspended"))
            for pod in pods:
                if _active(pod):
                    drop(world, pod)

    def _fail(self, world: World, status: JsonObject, pods: list[JsonObject], reason: str, message: str) -> None:
        for kind in ("FailureTarget", "Failed"):
            set_condition(status, world.store.clock, Finding(kind, "True", reason, message))
        for pod in pods:
            if _active(pod):
                drop(world, pod)
        status["failed"] = status.get("failed", 0) + status.pop("active", 0)


def _active(pod: JsonObject) -> bool:
    return not going(pod) and pod["status"].get("phase") not in {"Succeeded", "Failed"}


def _failures(pods: list[JsonObject]) -> int:
    """Return how often pods failed: those that did, and the restarts of containers in those that did not."""
    failed = sum(bool(pod["status"].get("phase") == "Failed") for pod in pods)
    alive = [pod for pod in pods if _active(pod)]
    return failed + sum(int(one["restartCount"]) for pod in alive for one in pod["status"].get("containerStatuses", ()))


class CronJobs:
    """Makes a job at each time of the schedule."""

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for cron in world.store.every("CronJob"):
            if going(cron):
                continue
            jobs = owned(world, "Job", cron)
            if not cron["spec"].get("suspend") and self._start(world, cron, jobs):
                yield
            yield from self._clean(world, cron, jobs)
            if self._report(world, cron, owned(world, "Job", cron)):
                yield

    def _start(self, world: World, cron: JsonObject, jobs: list[JsonObject]) -> bool:
        began = cron["status"].get("lastScheduleTime", cron["metadata"]["creationTimestamp"])
        due = following(cron["spec"]["schedule"], instant(began))
        if world.now < due:
            world.at(due)
            return False
        while (later := following(cron["spec"]["schedule"], due)) <= world.now:
            due = later  # of several that were missed only the last one runs
        running = [job for job in jobs if not job["status"].get("conditions")]
        policy = cron["spec"]["concurrencyPolicy"]
        status = {**draft(cron["status"]), "lastScheduleTime": stamp(due)}
        if running and policy == "Forbid":
            world.set_status(cron, status)
            return True
        for job in running if policy == "Replace" else ():
            delete(world.objects, place_of(job), Deletion())
        template, meta = draft(cron["spec"]["jobTemplate"]), cron["metadata"]
        about = {**template.get("metadata", {}), "name": f"{meta['name']}-{int(due // 60)}"}
        about["ownerReferences"] = owned_by(cron)
        world.try_create("Job", {"metadata": about, "spec": template["spec"]}, cron, "cronjob-controller")
        world.set_status(cron, status)
        return True

    def _clean(self, world: World, cron: JsonObject, jobs: list[JsonObject]) -> Iterator[None]:
        for ended, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            old = sorted(
                (job for job in jobs if holds(job["status"], ended)), key=lambda job: str(job["metadata"]["name"])
            )
            for job in old[: max(0, len(old) - cron["spec"][limit])]:
                delete(world.objects, place_of(job), Deletion())
                yield

    def _report(self, world: World, cron: JsonObject, jobs: list[JsonObject]) -> bool:
        current = world.store.get(*place_of(cron)) or cron
        keys = ("name", "namespace", "uid", "resourceVersion")
        active = [
            {"kind": "Job", "apiVersion": "batch/v1", **{key: job["metadata"][key] for key in keys}}
            for job in jobs
            if not holds(job["status"], "Complete") and not holds(job["status"], "Failed")
        ]
        status = {key: one for key, one in current["status"].items() if key != "active"}
        ended = [job["status"]["completionTime"] for job in jobs if "completionTime" in job["status"]]
        if ended:
            status["lastSuccessfulTime"] = max([*ended, status.get("lastSuccessfulTime", "")])
        known = {one["uid"] for one in current["status"].get("active", ())}
        if {one["uid"] for one in active} == known:
            active = current["status"].get("active", [])
        if active:
            status["active"] = active
        if status == current["status"]:
            return False
        world.set_status(current, status)
        return True
