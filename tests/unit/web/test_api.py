"""The API: who may do what, what it shows, what people ask for, and how it refuses."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import JsonValue

from responder.domain.alerts import Severity
from responder.domain.episodes import Decision
from responder.domain.errors import Unavailable
from responder.domain.findings import Finding
from responder.domain.limits import TRIP, Pause
from responder.domain.notification import Approval
from responder.domain.records import RecordState
from responder.domain.runs import Run, RunState
from responder.domain.verdicts import Verdict
from responder.ports.store import RunEnd, SliceChanges
from responder.stores.core.store import SqlStore
from responder.web.application import api_routes
from tests.conformance import building as build
from tests.unit.web.conftest import ADMIN, CANDIDATES, OPERATOR, VIEWER, Bed, Call, raw, settings_of

LISTS = ["incidents", "episodes", "deliveries", "decisions", "runs", "records", "pauses", "approvals", "audit"]
CHANGES = [(route.method, route.path) for route in api_routes() if route.method != "GET"]


def filled(path: str) -> str:
    return "/api/v1" + path.replace("{id}", "x").replace("{name}", "x").replace("{target}", "x")


async def waiting(store: SqlStore, *, four_eyes: bool = False) -> tuple[str, str]:
    """Return the id of a run that waits for approval, and the hash of its plan."""
    run = await build.started(store)
    now = store.now()
    asked = Approval("a1", run.id, "hash-1", {"workers": 6}, "pending", now, now + timedelta(minutes=10))
    await store.save(run, (), replace(asked, four_eyes=four_eyes))
    return run.id, asked.plan_hash


@pytest.mark.parametrize("kind", [*LISTS, "playbooks", "status", "report"])
async def test_everything_takes_credentials(call: Call, kind: str) -> None:
    nobody = await call("GET", f"/api/v1/{kind}")
    assert (nobody.status, nobody.json["hint"]) == (401, "send Authorization: Bearer TOKEN")
    assert nobody.headers["WWW-Authenticate"] == 'Bearer realm="responder"'
    assert nobody.json["error"] == "credentials are needed"
    wrong = await call("GET", f"/api/v1/{kind}", token="planted-but-wrong")
    assert (wrong.status, wrong.json["error"]) == (401, "these credentials are not known")
    assert (await call("GET", f"/api/v1/{kind}", token=VIEWER)).status == 200


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_a_viewer_changes_nothing(call: Call, bed: Bed, method: str, path: str) -> None:
    run_id, plan_hash = await waiting(bed.store)
    where = filled(path).replace("/x/", f"/{run_id}/")
    refused = await call(method, where, token=VIEWER, body={"plan_hash": plan_hash} if "approve" in path else None)
    assert refused.status == 403
    assert "eve" in refused.json["error"]


async def test_lists_are_pages_with_filters_newest_first(call: Call, bed: Bed) -> None:
    for severity in (Severity.LOW, Severity.HIGH, Severity.HIGH):
        await build.write(bed.store, episodes=[build.episode(bed.store, severity=severity)])
    first = (await call("GET", "/api/v1/episodes?limit=1&severity=high", token=VIEWER)).json
    second = (await call("GET", f"/api/v1/episodes?limit=1&severity=high&cursor={first['next']}", token=VIEWER)).json
    assert first["items"][0]["opened_at"] >= second["items"][0]["opened_at"]
    assert first["items"][0]["id"] != second["items"][0]["id"]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=0", "not a number from 1 to 1000"),
        ("limit=many", "not a number"),
        ("limit=1001", "not a number from 1 to 1000"),
        ("colour=red", "cannot be filtered by 'colour'"),
        ("state=open&state=late", "state is given twice"),
        ("cursor=zzz", "this cursor is not one that a list gave out"),
        ("opened_at=yesterday", "is not a value of"),
    ],
)
async def test_a_wrong_parameter_says_which_there_are(call: Call, query: str, said: str) -> None:
    answer = await call("GET", f"/api/v1/episodes?{query}", token=VIEWER)
    assert (answer.status, said in answer.json["error"]) == (400, True), answer.text


async def test_a_run_is_shown_with_its_steps_and_its_incident_with_its_decisions(call: Call, bed: Bed) -> None:
    run = await build.acting(bed.store)
    await build.applied(bed.store, run)
    shown = (await call("GET", f"/api/v1/runs/{run.id}", token=VIEWER)).json
    assert (shown["id"], shown["steps"][0]["after"]) == (run.id, {"workers": 6})
    incident = (await call("GET", f"/api/v1/incidents/{run.incident_id}", token=VIEWER)).json
    assert (incident["runs"], incident["decisions"]) == ([run.id], [])


@pytest.mark.parametrize("path", ["runs/nothing", "incidents/nothing", "nothing"])
async def test_what_is_not_there_is_404_in_json(call: Call, path: str) -> None:
    answer = await call("GET", f"/api/v1/{path}", token=VIEWER)
    assert (answer.status, "there is no" in answer.json["error"]) == (404, True)


async def test_a_chart_is_an_image_that_a_browser_shows_and_runs_nothing_of(call: Call, bed: Bed) -> None:
    run = await build.started(bed.store)
    where = f"/api/v1/incidents/{run.incident_id}/chart.svg"
    missing = await call("GET", where, token=VIEWER)
    assert (missing.status, missing.json["error"]) == (404, "there is no chart of this incident")
    data: JsonValue = {"points": [[60 * one, one] for one in range(9)], "threshold": 4, "expression": "<script>load"}
    await bed.store.found(run.incident_id, [Finding("chart:expression", bed.store.now(), "▁█", data=data)])
    shown = await call("GET", where, token=VIEWER)
    assert (shown.status, shown.headers["Content-Type"]) == (200, "image/svg+xml; charset=utf-8")
    assert shown.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert shown.text.startswith("<svg ")
    assert "<script>" not in shown.text
    assert (await call("GET", where)).status == 401


async def test_the_status_says_what_runs_and_what_waits(call: Call, bed: Bed) -> None:
    await build.deliver(bed.store, "d1", "d2")
    await call("POST", "/api/v1/pauses", token=OPERATOR, body={"reason": "maintenance"})
    status = (await call("GET", "/api/v1/status", token=VIEWER)).json
    assert (status["version"], status["config"]["digest"]) == ("1.2.3", bed.settings.digest)
    assert status["queues"]["deliveries"]["waiting"] == 2
    assert status["playbooks"] == {
        "loaded": 2,
        "complaints": [{"file": "bad.yaml", "line": 3, "message": "unknown key"}],
    }
    assert [pause["reason"] for pause in status["pauses"]] == ["maintenance"]


async def test_playbooks_come_from_the_library(call: Call) -> None:
    answer = await call("GET", "/api/v1/playbooks?mode=auto", token=VIEWER)
    assert answer.json == {"items": [{"name": "restart", "mode": "auto", "tripped": ""}], "next": None}


async def test_explain_tells_the_whole_story_of_an_alert(call: Call, bed: Bed) -> None:
    run = await build.acting(bed.store)
    record = await build.applied(bed.store, run)
    episode = (await bed.store.page("episodes", {}, 1, "")).items[0]
    decision = Decision(
        str(episode["id"]), "restart", Verdict.RUN, "A run was started.", bed.store.now(), run_id=run.id
    )
    await build.write(bed.store, decisions=[decision])
    told = (await call("GET", "/api/v1/explain?alertname=HighLatency", token=VIEWER)).json
    assert told["candidates"] == CANDIDATES["HighLatency"]
    (story,) = told["items"]
    assert story["episode"]["id"] == episode["id"]
    assert [one["verdict"] for one in story["decisions"]] == ["run"]
    assert [one["id"] for one in story["runs"]] == [run.id]
    assert [one["id"] for one in story["records"]] == [record.id]
    other = (await call("GET", "/api/v1/explain?alertname=Other", token=VIEWER)).json
    assert (other["items"], other["undecided"]["waiting"]) == ([], 0)
    await build.deliver(bed.store, "waits")
    other = (await call("GET", "/api/v1/explain?alertname=Other", token=VIEWER)).json
    assert (other["items"], other["undecided"]["waiting"]) == ([], 1)
    assert (await call("GET", "/api/v1/explain", token=VIEWER)).status == 400


async def test_explain_tells_what_was_done_and_taken_back_also_once_the_alert_is_in_another_group(
    call: Call, bed: Bed
) -> None:
    run = await build.acting(bed.store)
    await build.applied(bed.store, run)
    back = await bed.store.roll_back((await build.finished(bed.store, run)).id, "ana", "wrong")
    assert isinstance(back, Run)
    row = (await bed.store.page("episodes", {}, 1, "")).items[0]
    async with bed.store.slice() as tx:
        (alert,) = await tx.episodes_by_key({(str(row["source"]), str(row["fingerprint"]))})
        (incident,) = await tx.incidents((), {alert.incident_id})
        moved = replace(incident, id="elsewhere", group_key="{}:{other}")
        await tx.write(SliceChanges(incidents=[moved], episodes=[replace(alert, incident_id=moved.id)]))
    told = (await call("GET", "/api/v1/explain?alertname=HighLatency", token=VIEWER)).json
    (story,) = told["items"]
    assert story["incident"]["id"] == "elsewhere"
    assert [one["id"] for one in story["runs"]] == [run.id, back.id]


async def test_what_is_being_taken_back_is_said_to_be_when_somebody_stops_it(call: Call, bed: Bed) -> None:
    run = await build.acting(bed.store)
    await build.applied(bed.store, run)
    await bed.store.keep(replace(run, state=RunState.KEPT, due_at=bed.store.now() + build.HOUR), RunEnd())
    back = await bed.store.roll_back(run.id, "ana", "wrong")
    assert isinstance(back, Run)
    late = await call("POST", f"/api/v1/runs/{run.id}/stop", token=OPERATOR)
    assert (late.status, late.json["error"]) == (409, f"run {run.id} is kept")
    assert late.json["hint"] == f"run {back.id} is undoing what it changed"
    mine = await build.claimed(bed.store, back.id)
    assert await bed.store.take_slot(replace(mine, state=RunState.UNDOING)) is None
    late = await call("POST", f"/api/v1/runs/{back.id}/stop", token=OPERATOR)
    assert (late.status, late.json["error"]) == (409, f"run {back.id} is undoing")
    assert late.json["hint"].endswith(f"what run {run.id} changed, and does so to the end; a halt holds it up")


async def test_explain_names_the_brakes_that_may_touch_the_alert(call: Call, bed: Bed) -> None:
    await build.acting(bed.store)
    for scope in ("all", "incident:*", "incident:nope", "playbook:nosuch", "playbook:restart", "playbook:sc*"):
        await bed.store.pause(Pause(scope, "pause", scope, "", "ana", bed.store.now()))
    told = (await call("GET", "/api/v1/explain?alertname=HighLatency", token=VIEWER)).json
    scopes = sorted(one["scope"] for one in told["pauses"])
    assert scopes == ["all", "incident:*", "playbook:restart", "playbook:sc*"]
    other = (await call("GET", "/api/v1/explain?alertname=Other", token=VIEWER)).json
    assert {one["scope"] for one in other["pauses"]}.isdisjoint({"playbook:restart", "playbook:nosuch"})


async def test_a_report_passes_its_parameters_on(call: Call) -> None:
    assert (await call("GET", "/api/v1/report", token=VIEWER)).json == {"health": 100}
    assert (await call("GET", "/api/v1/report?x=1", token=VIEWER)).status == 400


async def test_an_approval_is_used_once_for_exactly_the_plan_that_was_shown(call: Call, bed: Bed) -> None:
    run_id, plan_hash = await waiting(bed.store)
    where = f"/api/v1/runs/{run_id}/approve"
    assert (await call("POST", where, token=OPERATOR)).json["error"] == "plan_hash is missing"
    assert (await call("POST", where, token=OPERATOR, body={"plan_hash": "other"})).status == 409
    said = await call("POST", where, token=OPERATOR, body={"plan_hash": plan_hash, "comment": "go\x00"})
    assert said.json == {"run": run_id, "answer": "approved", "by": "olga"}
    again = await call("POST", where, token=OPERATOR, body={"plan_hash": plan_hash})
    assert (again.status, "approved by olga at 20" in again.json["error"]) == (409, True)
    assert bed.of("asked") == [{"what": "approve", "subject": run_id, "actor": "olga"}]
    assert "run.approved" in await build.actions_of(bed.store, run_id)


async def test_a_rejection_needs_no_hash(call: Call, bed: Bed) -> None:
    run_id, _ = await waiting(bed.store)
    said = await call("POST", f"/api/v1/runs/{run_id}/reject", token=OPERATOR, body={"comment": "not now"})
    assert said.json["answer"] == "rejected"


async def test_a_no_to_a_plan_that_has_changed_since_is_a_no(call: Call, bed: Bed) -> None:
    run_id, plan_hash = await waiting(bed.store)
    body = {"plan_hash": "of the plan before"}
    said = await call("POST", f"/api/v1/runs/{run_id}/reject", token=OPERATOR, body=body)
    assert said.json["answer"] == "rejected"
    (entry, *_) = (await call("GET", f"/api/v1/audit?subject={run_id}&limit=1", token=VIEWER)).json["items"]
    assert (entry["action"], entry["details"]["plan_hash"]) == ("run.rejected", plan_hash), "what was said no to"


async def test_the_description_of_the_api_asks_a_yes_for_the_plan_and_a_no_for_nothing(call: Call) -> None:
    paths = (await call("GET", "/api/v1/openapi.json", token=VIEWER)).json["paths"]
    needed = {
        verb: paths[f"/api/v1/runs/{{id}}/{verb}"]["post"]["requestBody"]["content"]["application/json"]["schema"].get(
            "required", []
        )
        for verb in ("approve", "reject")
    }
    assert needed == {"approve": ["plan_hash"], "reject": []}


@pytest.mark.parametrize(
    ("approvers", "token", "status"),
    [
        (("role:operator",), OPERATOR, 200),
        (("role:operator",), ADMIN, 200),
        (("role:admin",), OPERATOR, 403),
        (("user:eve",), VIEWER, 200),
        (("user:someone",), ADMIN, 403),
        (("slack:@sre", "user:olga"), OPERATOR, 200),
        ((), ADMIN, 403),
    ],
)
async def test_only_those_whom_the_playbook_names_may_answer(
    call: Call, bed: Bed, approvers: tuple[str, ...], token: str, status: int
) -> None:
    run_id, plan_hash = await waiting(bed.store)
    bed.approvers = approvers
    said = await call("POST", f"/api/v1/runs/{run_id}/approve", token=token, body={"plan_hash": plan_hash})
    assert said.status == status


async def test_whoever_may_not_answer_hears_who_may_and_the_audit_log_keeps_it(call: Call, bed: Bed) -> None:
    run_id, plan_hash = await waiting(bed.store)
    bed.approvers = ("role:admin", "user:someone")
    said = await call("POST", f"/api/v1/runs/{run_id}/approve", token=OPERATOR, body={"plan_hash": plan_hash})
    assert (said.status, said.json["hint"]) == (403, "it takes role:admin, user:someone")
    assert "olga (operator)" in said.json["error"]
    (entry, *_) = (await call("GET", f"/api/v1/audit?subject={run_id}&limit=1", token=VIEWER)).json["items"]
    assert (entry["action"], entry["actor"], entry["details"]["answer"]) == ("run.answer_refused", "olga", "yes")
    said = await call("POST", f"/api/v1/runs/{run_id}/reject", token=OPERATOR)
    stop = f"an operator may stop it: responder stop {run_id}"
    assert (said.status, said.json["hint"]) == (403, f"it takes role:admin, user:someone; {stop}")


async def test_two_people_must_say_yes_where_the_playbook_wants_four_eyes(call: Call, bed: Bed) -> None:
    run_id, plan_hash = await waiting(bed.store, four_eyes=True)
    where, body = f"/api/v1/runs/{run_id}/approve", {"plan_hash": plan_hash}
    first = await call("POST", where, token=OPERATOR, body=body)
    assert (first.status, first.json["waits_for"]) == (200, "a second person's yes")
    same = await call("POST", where, token=OPERATOR, body=body)
    assert (same.status, "olga has said yes already at 20" in same.json["error"]) == (409, True)
    second = await call("POST", where, token=ADMIN, body=body)
    assert second.json == {"run": run_id, "answer": "approved", "by": "ada"}
    (asked,) = (await call("GET", f"/api/v1/approvals?run={run_id}", token=VIEWER)).json["items"]
    assert (asked["state"], asked["first_by"], asked["decided_by"]) == ("approved", "olga", "ada")


async def test_a_stop_of_a_parked_run_says_what_it_waits_for(call: Call, bed: Bed) -> None:
    run = await build.acting(bed.store)
    halt = replace(run, state=RunState.PARKED, reason="A halt is in force.")
    await bed.store.save(halt)
    answer = await call("POST", f"/api/v1/runs/{run.id}/stop", token=OPERATOR)
    assert answer.json == {"run": run.id, "stopping": True, "waits_for": "A halt is in force."}


async def test_the_audit_log_is_verified_for_who_may_do_things(call: Call) -> None:
    assert (await call("GET", "/api/v1/audit/verify", token=VIEWER)).status == 403
    (problem,) = (await call("GET", "/api/v1/audit/verify", token=OPERATOR)).json["problems"]
    assert problem.startswith("segment 1")


async def test_a_run_is_stopped_and_one_that_is_over_is_rolled_back_instead(call: Call, bed: Bed) -> None:
    run = await build.acting(bed.store)
    await build.applied(bed.store, run)
    assert (await call("POST", f"/api/v1/runs/{run.id}/stop", token=OPERATOR)).json == {"run": run.id, "stopping": True}
    assert (await call("POST", f"/api/v1/runs/{run.id}/rollback", token=OPERATOR)).status == 409
    await build.finished(bed.store, run, RunState.PARTLY_ROLLED_BACK)
    assert (await call("POST", f"/api/v1/runs/{run.id}/stop", token=OPERATOR)).json["hint"] == "roll it back instead"
    made = await call("POST", f"/api/v1/runs/{run.id}/rollback", token=OPERATOR, body={"reason": "worse"})
    assert (made.json["kind"], made.json["of_run"], made.json["requested_by"]) == ("rollback", run.id, "olga")
    stopped = await call("POST", f"/api/v1/runs/{run.id}/stop", token=OPERATOR)
    assert stopped.json["hint"] == f"run {made.json['id']} is undoing what it changed"


async def test_of_a_run_that_is_undone_both_are_told_who_has_undone_it(call: Call, bed: Bed) -> None:
    run = await build.acting(bed.store)
    record = await build.applied(bed.store, run)
    await build.finished(bed.store, run)
    made = await bed.store.roll_back(run.id, "olga", "")
    assert isinstance(made, Run)
    claimed = next(one for one in await bed.store.claim_runs(9) if one.id == made.id)
    await bed.store.settle(claimed, replace(record, state=RecordState.UNDONE))
    await build.finished(bed.store, claimed, RunState.ROLLED_BACK)
    stop, again = [await call("POST", f"/api/v1/runs/{run.id}/{what}", token=OPERATOR) for what in ("stop", "rollback")]
    assert (stop.status, stop.json["hint"]) == (409, f"run {made.id} has undone what it changed")
    undone = f"what run {run.id} changed is undone already, by run {made.id}"
    assert (again.status, again.json["error"]) == (409, undone)


async def test_pauses_begin_end_and_are_in_the_audit_log(call: Call, bed: Bed) -> None:
    body = {"scope": "playbook:restart", "kind": "halt", "reason": "incident", "for": "30m"}
    made = (await call("POST", "/api/v1/pauses", token=OPERATOR, body=body)).json
    assert (made["kind"], made["scope"], made["actor"], made["until"] is None) == (
        "halt",
        "playbook:restart",
        "olga",
        False,
    )
    assert [pause.id for pause in await pauses(bed)] == [made["id"]]
    assert (await call("DELETE", f"/api/v1/pauses/{made['id']}", token=OPERATOR)).json == {"lifted": 1, "pauses": []}
    again = await call("DELETE", f"/api/v1/pauses/{made['id']}", token=OPERATOR)
    assert (again.status, again.json["hint"]) == (404, "those in force: responder pauses")
    assert (await call("DELETE", "/api/v1/pauses/all", token=OPERATOR)).json["lifted"] == 0
    assert await build.actions_of(bed.store, "playbook:restart") == ["halt.begun", "halt.lifted"]


@pytest.mark.parametrize("scope", ["all", "team:shop", "playbook:add-*", "action:http.*", "target:http/*"])
async def test_a_pause_takes_every_scope_and_is_lifted_by_it(call: Call, bed: Bed, scope: str) -> None:
    for kind in ("pause", "halt"):
        await call("POST", "/api/v1/pauses", token=OPERATOR, body={"scope": scope, "kind": kind})
    shown = (await call("GET", "/api/v1/status", token=OPERATOR)).json["pauses"]
    assert [(one["kind"], one["scope"], one["actor"], one["source"]) for one in shown] == [
        ("pause", scope, "olga", "store"),
        ("halt", scope, "olga", "store"),
    ]
    path = f"/api/v1/pauses/{quote(scope, safe='')}"
    assert (await call("DELETE", path, token=OPERATOR)).json == {"lifted": 2, "pauses": []}
    assert await pauses(bed) == []


async def test_an_old_pause_is_shown_however_many_came_and_went_since(call: Call, bed: Bed) -> None:
    old = Pause("old", "pause", "all", "", "ana", bed.store.now() - timedelta(days=90))
    await bed.store.pause(old)
    for number in range(210):
        later = Pause(f"p{number}", "pause", "playbook:x", "", "ana", bed.store.now(), bed.store.now())
        await bed.store.pause(later)
    assert [one["id"] for one in (await call("GET", "/api/v1/status", token=OPERATOR)).json["pauses"]] == ["old"]


async def test_a_playbook_that_tripped_is_shown_and_reset(call: Call, bed: Bed) -> None:
    trip = Pause("t", TRIP, "playbook:restart", "2 runs in a row did not help.", "responder", bed.store.now())
    await bed.store.pause(trip)
    shown = (await call("GET", "/api/v1/playbooks", token=VIEWER)).json["items"]
    assert {one["name"]: one["tripped"] for one in shown} == {"restart": "2 runs in a row did not help.", "scale": ""}
    path = "/api/v1/playbooks/restart/reset"
    assert (await call("POST", path, token=VIEWER)).status == 403
    assert (await call("POST", path, token=OPERATOR)).json == {"playbook": "restart", "reset_by": "olga"}
    again = await call("POST", path, token=OPERATOR)
    assert (again.status, "responder pauses" in again.json["hint"]) == (404, True)


async def pauses(bed: Bed) -> list[Pause]:
    async with bed.store.slice() as slice_:
        return list(await slice_.pauses())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"kind": "stop"}, "kind is 'stop'"),
        ({"scope": "everything"}, "scope is 'everything'"),
        ({"scope": "playbook:"}, "scope is"),
        ({"scope": "host:a"}, "scope is"),
        ({"scope": "action"}, "scope is"),
        ({"for": "5"}, "has no unit"),
        ({"for": "0"}, "zero length"),
        ({"for": "290y"}, ""),
        ({"reson": "x"}, "unknown key 'reson'"),
        ({"scope": None}, "scope is null"),
        ({"kind": None}, "kind is null"),
        ({"reason": "x" * 1001}, "the reason is longer than 1,000 characters"),
        ({"reason": "x" * 900_000}, "the reason is longer than 1,000 characters"),
        ({"reason": 3}, "reason is not a text"),
        ([], "not a JSON object"),
    ],
)
async def test_a_wrong_pause_is_refused_and_nothing_is_paused(call: Call, bed: Bed, body: object, said: str) -> None:
    answer = await call("POST", "/api/v1/pauses", token=OPERATOR, body=body)
    if said:
        assert (answer.status, said in answer.json["error"]) == (400, True), answer.text
        assert await pauses(bed) == []
    else:
        assert answer.status in (200, 400)


async def test_what_people_say_is_bounded_alike(call: Call, bed: Bed) -> None:
    run = await build.acting(bed.store)
    long = "x" * 1001
    for path, body in (
        (f"/api/v1/runs/{run.id}/approve", {"plan_hash": "p", "comment": long}),
        (f"/api/v1/runs/{run.id}/reject", {"comment": long}),
        (f"/api/v1/runs/{run.id}/rollback", {"reason": long}),
        ("/api/v1/changes", {"summary": long, "target": "http/shop"}),
    ):
        answer = await call("POST", path, token=OPERATOR, body=body)
        assert (answer.status, "is longer than 1,000 characters" in answer.text) == (400, True), path
    kept = await call("POST", "/api/v1/pauses", token=OPERATOR, body={"reason": "x" * 1000, "for": None})
    assert (kept.status, len(kept.json["reason"])) == (200, 1000)


async def test_a_change_of_somebody_else_is_announced_and_in_the_audit_log(call: Call, bed: Bed) -> None:
    body = {"summary": "api 1.8 is out", "labels": 'namespace=shop, deployment="api"'}
    said = await call("POST", "/api/v1/changes", token=OPERATOR, body=body)
    assert (said.status, said.json["labels"]) == (200, {"namespace": "shop", "deployment": "api"})
    (entry,) = (await bed.store.page("audit", {"action": "change.announced"}, 10, "")).items
    assert (entry["actor"], entry["details"]["summary"]) == (said.json["announced_by"], "api 1.8 is out")  # type: ignore[call-overload,index] # JSON
    for wrong in ({}, {"summary": "x"}, {"summary": "x", "labels": "shop"}, {"summary": " ", "target": "http/shop"}):
        refused = await call("POST", "/api/v1/changes", token=OPERATOR, body=wrong)
        assert (refused.status, bool(refused.json["hint"])) == (400, True)


async def test_a_person_takes_over_once(call: Call, bed: Bed) -> None:
    run = await build.acting(bed.store)
    await build.finished(bed.store, run, RunState.FAILED, needs_person="it did not help")
    where = f"/api/v1/incidents/{run.incident_id}/ack"
    assert (await call("POST", where, token=OPERATOR)).json["acknowledged_by"] == "olga"
    assert (await call("POST", where, token=OPERATOR)).status == 409
    assert (await call("POST", "/api/v1/incidents/nothing/ack", token=OPERATOR)).status == 404


async def test_a_target_with_slashes_leaves_quarantine(call: Call, bed: Bed) -> None:
    run = await build.acting(bed.store, target="http/checkout/workers")
    await build.finished(bed.store, run, RunState.UNKNOWN, quarantine="in doubt")
    where = "/api/v1/quarantines/http/checkout/workers"
    assert (await call("DELETE", where, token=OPERATOR)).json["cleared_by"] == "olga"
    assert (await call("DELETE", where, token=OPERATOR)).status == 404
    assert (await call("DELETE", where.replace("/workers", "%2Fworkers"), token=OPERATOR)).status == 404


async def test_only_what_was_set_aside_is_brought_back(call: Call, bed: Bed) -> None:
    await build.deliver(bed.store, "d1")
    assert (await call("POST", "/api/v1/redrive", token=OPERATOR, body={"kind": "delivery", "id": "d1"})).status == 404
    assert (await call("POST", "/api/v1/redrive", token=OPERATOR, body={"kind": "run", "id": "d1"})).status == 400
    assert (await call("POST", "/api/v1/redrive", token=OPERATOR, body={})).status == 400


async def test_a_body_of_the_api_is_bounded(call: Call) -> None:
    answer = await call("POST", "/api/v1/pauses", token=OPERATOR, body={"reason": "x" * 1_100_000})
    assert answer.status == 413


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[" * 100_000])
async def test_a_body_that_is_no_json_is_400(call: Call, data: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert (await call("POST", "/api/v1/pauses", token=OPERATOR, data=data, headers=headers)).status == 400


async def test_another_sites_page_cannot_make_a_browser_pause_us(call: Call, bed: Bed) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        answer = await call("POST", "/api/v1/pauses", token=OPERATOR, body={}, headers=headers)
        assert answer.status == 403
    form = await call("POST", "/api/v1/pauses", token=OPERATOR, data=b"{}", headers={"Content-Type": "text/plain"})
    assert form.status == 415
    assert await pauses(bed) == []


async def test_our_own_page_may(call: Call, port: int) -> None:
    headers = {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}
    assert (await call("POST", "/api/v1/pauses", token=OPERATOR, body={}, headers=headers)).status == 200


async def test_a_store_that_is_down_is_503(call: Call, bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(*_: object) -> None:
        raise Unavailable("the password is planted-viewer-token")

    monkeypatch.setattr(bed.store, "page", down)
    answer = await call("GET", "/api/v1/runs", token=VIEWER)
    assert (answer.status, answer.json["error"]) == (503, "the store did not answer")
    assert answer.json["hint"] == "ask again in a few seconds", "nothing was sent"


async def test_a_fault_of_ours_tells_the_caller_nothing(call: Call, bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("planted-viewer-token")

    monkeypatch.setattr(bed.store, "page", broken)
    answer = await call("GET", "/api/v1/runs", token=VIEWER)
    assert (answer.status, answer.json["error"]) == (500, "internal error")
    assert len(bed.of("http_failed")) == 1


async def test_the_api_describes_every_route_it_has(call: Call) -> None:
    document = (await call("GET", "/api/v1/openapi.json")).json
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, f"/api/v1{route.path}") for route in api_routes()}
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    for path, methods in document["paths"].items():
        for one in methods.values():
            named = {parameter["name"] for parameter in one["parameters"] if parameter["in"] == "path"}
            assert named == {part.strip("{}") for part in path.split("/") if part.startswith("{")}


async def test_on_this_machine_nobody_needs_credentials_if_it_is_said(bed: Bed, tmp_path: Path) -> None:
    bed.settings = settings_of(tmp_path, "access: { anonymous: true }\nsources: { am: {} }")
    async with bed.serving() as port:

        async def status(host: str, extra: str = "") -> bytes:
            head = (
                f"POST /api/v1/pauses HTTP/1.1\r\nHost: {host}\r\n{extra}Connection: close\r\nContent-Length: 0\r\n\r\n"
            )
            return (await raw(port, head.encode()))[:12]

        assert await status(f"127.0.0.1:{port}") == b"HTTP/1.1 200"
        assert await status("localhost") == b"HTTP/1.1 200"
        assert await status(f"[::1]:{port}") == b"HTTP/1.1 200"
        assert await status("evil.example") == b"HTTP/1.1 401"
        assert await status("127.0.0.1.evil.example") == b"HTTP/1.1 401"
        assert await status("localhost", "Origin: http://evil.example\r\n") == b"HTTP/1.1 403"
        assert await status("localhost", "Authorization: Bearer wrong\r\n") == b"HTTP/1.1 401"


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("runs?state=bogus", "rolled_back"),
        ("decisions?verdict=no", "no_match"),
        ("deliveries?state=x", "dead"),
        ("incidents?status=opn", "open"),
        ("episodes?severity=page", "critical"),
    ],
)
async def test_a_word_that_no_row_can_hold_is_refused_with_those_there_are(call: Call, query: str, word: str) -> None:
    answer = await call("GET", f"/api/v1/{query}", token=VIEWER)
    assert answer.status == 400
    assert word in answer.json["hint"]
