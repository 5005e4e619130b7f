"""The commands that talk to a running responder: what they send, what they print, how they exit."""

import json
import socket
from pathlib import Path

import pytest
import yaml

from responder.cli.client import Client
from responder.cli.exits import Exit
from responder.cli.people import describe
from tests.bed.processes import free_port
from tests.unit.cli.conftest import TOKEN, Json, Peer, Responder


def rows(count: int) -> list[Json]:
    """Return runs, newest first."""
    return [
        {
            "id": f"aaaa{index:04d}-{index:08d}",
            "created_at": f"2026-01-05T12:00:{59 - index:02d}Z",
            "state": "verified",
            "playbook": "add-workers" if index % 2 else "grow-cache",
            "target": "http/checkout/workers",
            "reason": "error rate: 0.1 %",
        }
        for index in range(count)
    ]


def test_a_table_has_a_heading_and_a_line_for_each_row(peer: Peer, responder: Responder) -> None:
    peer.lists("runs", rows(3))
    result = responder("runs")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["ID", "CREATED", "AT", "STATE", "PLAYBOOK", "TARGET", "REASON"]
    assert lines[1].startswith("aaaa0000-00000000  2026-01-05 12:00:59  verified  grow-cache")
    assert len(lines) == 4


def test_a_list_is_followed_page_by_page_up_to_the_limit(peer: Peer, responder: Responder) -> None:
    peer.lists("runs", rows(9))
    result = responder("runs", "--limit", "5", "-o", "name")
    assert result.stdout.split() == [str(row["id"]) for row in rows(5)]


@pytest.mark.parametrize("output", ["json", "jsonl", "yaml"])
def test_what_programs_read_is_complete_and_well_formed(peer: Peer, responder: Responder, output: str) -> None:
    peer.lists("decisions", [{"id": "1", "verdict": "cooldown", "reason": "wait „a bit“", "count": 3}])
    text = responder("decisions", "-o", output).stdout
    parsed = yaml.safe_load(text) if output == "yaml" else json.loads(text)
    first = parsed if output == "jsonl" else parsed[0]
    assert first == {"id": "1", "verdict": "cooldown", "reason": "wait „a bit“", "count": 3}


def test_an_unknown_output_is_a_mistake_of_the_caller(peer: Peer, responder: Responder) -> None:
    peer.lists("runs", rows(1))
    result = responder("runs", "-o", "xml")
    assert result.exit_code == 2
    assert "table, json, jsonl, yaml, name" in result.stderr


def test_an_empty_list_says_so_beside_the_data(peer: Peer, responder: Responder) -> None:
    peer.lists("incidents", [])
    result = responder("incidents")
    assert (result.exit_code, result.stdout) == (0, "")
    says = "There are no incidents. An incident opens with the first alert that fires; what has arrived: "
    assert result.stderr == f"{says}responder deliveries\n"


@pytest.mark.parametrize("kind", ["runs", "incidents", "decisions", "deliveries"])
def test_an_empty_list_says_what_to_do_next(peer: Peer, responder: Responder, kind: str) -> None:
    peer.lists(kind, [])
    said = responder(kind).stderr
    assert "responder " in said or f"{peer.url}/webhook/SOURCE" in said
    assert responder(kind, "-w", "state=lost").stderr == (
        f"There are no {kind} with state=lost. Whether there are any: responder {kind}\n"
    )


def test_an_unknown_id_says_where_to_look_in_the_words_of_the_command_line(peer: Peer, responder: Responder) -> None:
    peer.lists("runs", rows(3))
    assert "no run has an id that begins or ends with 'zzzz'; the latest ones: responder runs" in (
        responder("runs", "show", "zzzz").stderr
    )
    assert (
        "3 runs have an id that begins or ends with 'aaaa'; give more of it: aaaa0" in responder("stop", "aaaa").stderr
    )
    peer.lists("incidents", [{"id": "nopenope-11112222"}])
    peer.status["incidents/nopenope-11112222/ack"] = (
        404,
        {"error": "there is no incident", "hint": "/api/v1/incidents lists them"},
    )
    result = responder("ack", "nope")
    assert (result.exit_code, result.stderr) == (
        1, "responder: there is no incident; the latest ones: responder incidents\n"
    )  # fmt: skip


def test_filters_are_sent_as_they_are(peer: Peer, responder: Responder) -> None:
    peer.lists("runs", rows(6))
    result = responder("runs", "-w", "playbook=add-workers", "-o", "json")
    assert {row["playbook"] for row in json.loads(result.stdout)} == {"add-workers"}


@pytest.mark.parametrize("kind", ["runs", "incidents", "decisions", "deliveries"])
@pytest.mark.parametrize("name", ["kind", "path", "self"])
def test_a_filter_may_have_any_name(peer: Peer, responder: Responder, kind: str, name: str) -> None:
    peer.lists(kind, [{"id": "aaaa0000-00000000", name: "undo"}, {"id": "aaaa0001-00000001", name: "apply"}])
    result = responder(kind, "-w", f"{name}=undo", "-o", "name")
    assert (result.exit_code, result.stdout) == (0, "aaaa0000-00000000\n")


def test_a_label_may_have_any_name(peer: Peer, responder: Responder) -> None:
    peer.answers["GET", "explain"] = {"items": []}
    assert "No alert with these labels" in responder("explain", "path=/var", "self=me").stderr
    assert peer.asked[-1][2] == {"path": "/var", "self": "me"}


@pytest.mark.parametrize(("where", "instead"), [("limit=3", "--limit 3"), ("cursor=x", "--limit N")])
def test_what_a_page_is_asked_for_by_is_no_field(responder: Responder, where: str, instead: str) -> None:
    result = responder("runs", "-w", where)
    assert result.exit_code == 2
    assert "is no field" in result.stderr
    assert instead in result.stderr


def test_a_filter_without_a_value_is_refused(peer: Peer, responder: Responder) -> None:
    assert responder("runs", "-w", "playbook").exit_code == 2


def test_control_characters_of_an_alert_never_reach_the_terminal(peer: Peer, responder: Responder) -> None:
    peer.lists("runs", [{**rows(1)[0], "reason": "\x1b[2Jgone\nand more"}])
    assert "\x1b" not in responder("runs").stdout
    assert len(responder("runs").stdout.splitlines()) == 2


def test_lines_are_cut_to_the_width_that_is_asked_for(
    peer: Peer, responder: Responder, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.lists("runs", rows(2))
    monkeypatch.setenv("COLUMNS", "60")
    lines = responder("runs").stdout.splitlines()
    assert max(len(line) for line in lines) == 60
    assert [len(line) for line in lines if line.endswith("…")] == [60, 60, 60]


def test_a_reason_that_has_no_room_in_its_line_gets_the_next(
    peer: Peer, responder: Responder, run_row: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "error rate: 0.3 %, needs < 2 %, for 2 s"
    peer.lists("runs", [{**run_row, "target": "http/checkout/cache", "reason": reason}])
    monkeypatch.setenv("COLUMNS", "100")
    _, row, below = responder("runs").stdout.splitlines()
    assert row.endswith("http/checkout/cache")
    assert below == f"    {reason}"


def test_a_value_that_is_too_long_for_a_table_loses_its_middle_there_and_nowhere_else(
    peer: Peer, responder: Responder, run_row: Json
) -> None:
    target = f"http/checkout/{'x' * 10_000}/workers"
    peer.lists("runs", [{**run_row, "target": target, "reason": "because " * 2_000}])
    heading, row = responder("runs").stdout.splitlines()
    assert len(heading) < 200
    assert len(row) < 600
    assert "http/checkout/xxx" in row
    assert "xxx/workers" in row
    assert "x…x" in row
    assert json.loads(responder("runs", "-o", "json").stdout)[0]["target"] == target
    assert target in responder("runs", "-o", "yaml").stdout


def test_nobody_listening_exits_3_and_says_where_it_looked(responder: Responder, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    result = responder("runs", "--url", url)
    assert result.exit_code == 3
    assert url in result.stderr
    assert "Traceback" not in result.output


def test_a_wrong_token_exits_2_and_says_how_to_give_one(
    peer: Peer, responder: Responder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").write_text("nobody")
    result = responder("runs", "--token-file", str(tmp_path / "other"))
    assert result.exit_code == 2
    assert "who are you? (401); is the token one of access.tokens" in result.stderr
    assert "--token-file" in result.stderr


def test_without_a_token_it_says_how_to_give_one(responder: Responder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESPONDER_TOKEN_FILE")
    result = responder("runs")
    assert result.exit_code == 2
    assert "who are you? (401); give it a token: --token-file FILE or RESPONDER_TOKEN_FILE" in result.stderr


@pytest.mark.parametrize(("status", "code"), [(400, 2), (404, 1), (409, 1), (415, 2), (503, 3)])
def test_the_exit_code_tells_a_wrong_call_from_what_is_not_there(
    peer: Peer, responder: Responder, status: int, code: int
) -> None:
    peer.status["runs"] = (status, {"error": "no", "hint": "write it otherwise"})
    result = responder("runs")
    assert (result.exit_code, result.stderr) == (code, "responder: no; write it otherwise\n")


@pytest.mark.parametrize("answer", [(200, {"status": "up"}), (404, {"detail": "Not Found"})])
def test_another_service_is_not_taken_for_a_responder(
    peer: Peer, responder: Responder, answer: tuple[int, Json]
) -> None:
    peer.status["runs"] = answer
    result = responder("runs")
    assert result.exit_code == 3
    assert f"{peer.url} is not a responder" in result.stderr


def test_an_approval_that_is_refused_prints_no_run(peer: Peer, responder: Responder, run_row: Json) -> None:
    run = str(run_row["id"])
    peer.answers["GET", f"runs/{run}"] = {**run_row, "state": "verified"}
    peer.lists("approvals", [{"run": run, "state": "spent", "plan_hash": "abc"}])
    peer.status[f"runs/{run}/approve"] = (409, {"error": "nothing is asked"})
    result = responder("approve", run)
    assert (result.exit_code, result.stdout) == (1, "")


def test_the_names_of_stories_are_those_of_their_episodes(peer: Peer, responder: Responder) -> None:
    peer.answers["GET", "explain"] = {"items": [{"episode": {"id": "e-1"}}, {"episode": {"id": "e-2"}}]}
    assert responder("explain", "alertname=A", "-o", "name").stdout.split() == ["e-1", "e-2"]


def test_a_missing_token_file_is_named(responder: Responder, tmp_path: Path) -> None:
    result = responder("runs", "--token-file", str(tmp_path / "nowhere"))
    assert result.exit_code == 2
    assert "nowhere" in result.stderr


def test_the_token_is_never_printed(peer: Peer, responder: Responder) -> None:
    peer.status["runs"] = (503, {"error": "the store is down"})
    result = responder("runs")
    assert TOKEN not in result.output


def test_a_failing_server_exits_3(peer: Peer, responder: Responder) -> None:
    peer.status["runs"] = (503, {"error": "the store is down", "hint": "look at /-/ready"})
    result = responder("runs")
    assert result.exit_code == 3
    assert result.stderr == "responder: the store is down; look at /-/ready\n"


def test_an_address_that_is_none_is_refused(responder: Responder) -> None:
    assert responder("runs", "--url", "localhost:9095").exit_code == 2


def test_approve_shows_the_plan_and_sends_its_hash(peer: Peer, responder: Responder, run_row: Json) -> None:
    peer.answers["GET", f"runs/{run_row['id']}"] = run_row
    peer.lists("approvals", [{"run": run_row["id"], "plan_hash": "beef", "state": "pending"}])
    peer.answers["POST", f"runs/{run_row['id']}/approve"] = {}
    result = responder("approve", str(run_row["id"]), "--comment", "quiet night")
    assert result.exit_code == 0
    assert "shrink: workers: 6 → 4  [planned]" in result.stdout
    assert peer.of("POST") == [(f"runs/{run_row['id']}/approve", {"plan_hash": "beef", "comment": "quiet night"})]


def test_a_yes_for_a_plan_that_has_changed_meanwhile_approves_nothing(
    peer: Peer, responder: Responder, run_row: Json
) -> None:
    peer.answers["GET", f"runs/{run_row['id']}"] = {**run_row, "state": "awaiting_approval"}
    peer.lists("approvals", [{"run": run_row["id"], "plan_hash": "dead", "state": "pending"}])
    peer.answers["POST", f"runs/{run_row['id']}/approve"] = {}
    result = responder("approve", str(run_row["id"]), "--plan-hash", "beef")
    assert (result.exit_code, "approved" in result.stdout.split()) == (1, False)
    assert result.stderr.endswith(f"there is a new plan: responder approve {run_row['id']}\n")


def test_the_first_of_two_yeses_says_that_another_person_is_needed(
    peer: Peer, responder: Responder, run_row: Json
) -> None:
    peer.answers["GET", f"runs/{run_row['id']}"] = run_row
    peer.lists("approvals", [{"run": run_row["id"], "plan_hash": "beef", "state": "pending"}])
    peer.answers["POST", f"runs/{run_row['id']}/approve"] = {"waits_for": "a second person's yes"}
    result = responder("approve", str(run_row["id"]))
    assert result.exit_code == 0
    noted = f"noted; it waits for a second person's yes: responder approve {run_row['id']}"
    assert result.stdout.splitlines()[-1] == noted


def test_an_audit_log_that_was_changed_is_a_finding(peer: Peer, responder: Responder) -> None:
    counts: Json = {"segments": 2, "entries": 9, "unsealed": 1, "heads": 2, "heads_file": "/a.jsonl", "problems": []}
    peer.answers["GET", "audit/verify"] = counts
    said = "9 entries in 2 segments, 1 not sealed yet, 2 heads of /a.jsonl\n"
    result = responder("audit", "verify")
    assert (result.exit_code, result.stdout) == (0, said)
    peer.answers["GET", "audit/verify"] = {**counts, "problems": ["segment 1: 1 of its entries is gone"]}
    result = responder("audit", "verify")
    assert (result.exit_code, result.stdout) == (1, "segment 1: 1 of its entries is gone\n" + said)
    peer.answers["GET", "audit/verify"] = {**counts, "heads_file": ""}
    assert "without a heads file nobody can tell" in responder("audit", "verify").stdout
    assert responder("audit", "everything").exit_code == 2


def test_a_run_says_after_which_other_one_its_alert_began(run_row: Json) -> None:
    text = describe({**run_row, "caused_by": "aaaa0001-00000001", "depth": 2})
    assert "the alert began after run aaaa0001-00000001 here, depth 2" in text
    assert "began" not in describe(run_row)


def test_a_command_is_shown_as_what_was_run(run_row: Json) -> None:
    argv = ["restart-web", "eu"]
    step: Json = {"id": "restart", "before": {"to_run": argv}, "after": {"ran": argv}}
    for state, says in (("applied", "ran"), ("intended", "run")):
        assert f"restart: {says} `restart-web eu`  [{state}]" in describe(
            {**run_row, "steps": [{**step, "state": state}]}
        )
    assert "restart: run `restart-web eu`  [planned]" in describe({**run_row, "steps": [step]})


def test_values_are_written_as_in_playbooks_and_messages(run_row: Json) -> None:
    steps: list[Json] = [
        {"id": "wait", "before": None, "after": "wait 3s", "state": "done"},
        {"id": "flag", "before": {"on": False, "by": None}, "after": {"on": True, "by": "us"}, "state": "applied"},
        {"id": "list", "before": ["a"], "after": ["a", True], "state": "applied"},
    ]
    told = describe({**run_row, "steps": steps})
    assert "wait: wait 3s  [done]" in told
    assert "flag: on: false → true, by: – → us  [applied]" in told
    assert 'list: ["a"] → ["a", true]  [applied]' in told


def test_steps_are_shown_in_their_order_and_it_says_so(run_row: Json) -> None:
    steps: list[Json] = [{"id": name, "before": 1, "after": 2, "state": "applied"} for name in ("one", "two")]
    lines = describe({**run_row, "steps": steps}).splitlines()
    head = lines.index("  steps, the first one first:")
    assert [line.split(":")[0].strip() for line in lines[head + 1 : head + 3]] == ["one", "two"]


def test_approve_refuses_a_run_that_asks_for_nothing(peer: Peer, responder: Responder, run_row: Json) -> None:
    peer.answers["GET", f"runs/{run_row['id']}"] = run_row
    peer.lists("approvals", [])
    result = responder("approve", str(run_row["id"]))
    assert result.exit_code == 1
    assert peer.of("POST") == []


def test_a_refusal_of_the_responder_exits_1_with_its_words(peer: Peer, responder: Responder, run_row: Json) -> None:
    peer.answers["GET", f"runs/{run_row['id']}"] = run_row
    peer.lists("approvals", [{"run": run_row["id"], "plan_hash": "beef", "state": "pending"}])
    peer.status[f"runs/{run_row['id']}/approve"] = (409, {"error": "the plan has changed"})
    result = responder("approve", str(run_row["id"]))
    assert result.exit_code == 1
    assert "the plan has changed" in result.stderr
    assert "approved" not in result.stdout


def test_a_stop_of_a_parked_run_says_that_it_waits_and_how_to_go_on(peer: Peer, responder: Responder) -> None:
    peer.lists("runs", rows(3))
    peer.answers["POST", "runs/aaaa0002-00000002/stop"] = {"stopping": True, "waits_for": "A halt is in force."}
    said = responder("stop", "00000002").stdout
    assert "stops once that is lifted: A halt is in force." in said
    assert "responder resume" in said
    assert "stopping" not in said


def test_the_end_of_an_id_is_enough(peer: Peer, responder: Responder) -> None:
    peer.lists("runs", rows(3))
    peer.answers["POST", "runs/aaaa0002-00000002/stop"] = {}
    assert responder("stop", "00000002").exit_code == 0
    assert peer.of("POST") == [("runs/aaaa0002-00000002/stop", {})]


def test_an_ambiguous_id_does_nothing(peer: Peer, responder: Responder) -> None:
    peer.lists("runs", rows(3))
    result = responder("rollback", "aaaa")
    assert result.exit_code == 2
    assert "3 runs have an id that begins or ends with 'aaaa'; give more of it: aaaa0000-00000000," in result.stderr
    assert peer.of("POST") == []


def test_an_incident_is_acknowledged_by_the_beginning_or_the_end_of_its_id(peer: Peer, responder: Responder) -> None:
    peer.lists("incidents", [{"id": "aaaa1111-00000000"}, {"id": "bbbb2222-00000001"}])
    peer.answers["POST", "incidents/bbbb2222-00000001/ack"] = {}
    for part in ("bbbb", "0001"):
        result = responder("ack", part)
        assert result.exit_code == 0, result.stderr
    assert [path for path, _ in peer.of("POST")] == ["incidents/bbbb2222-00000001/ack"] * 2


def test_a_short_id_is_not_guessed_at(peer: Peer, responder: Responder) -> None:
    assert responder("stop", "aa").exit_code == 2
    assert peer.asked == []


@pytest.mark.parametrize(
    ("state", "code"), [("verified", 0), ("skipped", 0), ("rolled_back", 1), ("failed", 1), ("unknown", 4)]
)
def test_watch_exits_as_the_run_ends(peer: Peer, responder: Responder, run_row: Json, state: str, code: int) -> None:
    ended = {**run_row, "state": state, "finished_at": "2026-01-05T12:01:00Z"}
    peer.answers["GET", f"runs/{run_row['id']}"] = ended
    result = responder("runs", "watch", str(run_row["id"]))
    assert result.exit_code == code
    assert state in result.stdout


def test_pause_sends_scope_reason_and_time(peer: Peer, responder: Responder) -> None:
    peer.answers["POST", "pauses"] = {"id": "pause-1"}
    result = responder("pause", "playbook:add-*", "--for", "30m", "--reason", "release")
    assert result.stdout == "pause-1\n"
    assert peer.of("POST") == [
        ("pauses", {"scope": "playbook:add-*", "kind": "pause", "reason": "release", "for": "30m"})
    ]


def test_halt_is_said_to_be_one(peer: Peer, responder: Responder) -> None:
    peer.answers["POST", "pauses"] = {"id": "pause-2"}
    responder("pause", "--halt")
    assert peer.of("POST")[0][1]["kind"] == "halt"


def test_resume_lifts_by_id(peer: Peer, responder: Responder) -> None:
    peer.answers["DELETE", "pauses/all"] = {"lifted": 2}
    assert responder("resume", "all").stdout == "lifted 2\n"


def test_halt_is_a_command_of_its_own(peer: Peer, responder: Responder) -> None:
    peer.answers["POST", "pauses"] = {"id": "pause-3"}
    assert responder("halt", "team:shop", "--reason", "fire", "--for", "1h").stdout == "pause-3\n"
    assert peer.of("POST") == [("pauses", {"scope": "team:shop", "kind": "halt", "reason": "fire", "for": "1h"})]


def test_a_brake_that_covers_nothing_now_is_pointed_out(peer: Peer, responder: Responder) -> None:
    peer.answers["POST", "pauses"] = {"id": "pause-4"}
    peer.lists("playbooks", [{"name": "add-workers", "steps": ["http.request"]}])
    assert "no playbook in use takes the action 'redis.*'" in responder("pause", "action:redis.*").stderr
    assert "no playbook in use is called 'grow-*'" in responder("halt", "playbook:grow-*").stderr
    assert responder("pause", "action:http.*").stderr == ""
    peer.lists("incidents", [{"id": "inc-1"}, {"id": "inc-2"}, {"id": "other"}])
    assert "careful: there is no incident 'nope'; it covers nothing" in responder("pause", "incident:nope").stderr
    assert "no incident 'nope-*'" in responder("halt", "incident:nope-*").stderr
    assert responder("pause", "incident:other").stderr == responder("pause", "incident:inc-*").stderr == ""


BRAKES: list[Json] = [
    {
        "id": "p1", "kind": "pause", "scope": "team:shop", "source": "store", "actor": "ana", "reason": "release",
        "created_at": "2026-01-05T12:00:00Z", "until": None,
    },
    {
        "id": "file-1", "kind": "halt", "scope": "all", "source": "file", "actor": "the file /brake on a",
        "reason": "", "created_at": "2026-01-05T12:00:00Z", "until": None,
    },
]  # fmt: skip


def test_pauses_lists_what_is_in_force_from_every_source(peer: Peer, responder: Responder) -> None:
    peer.answers["GET", "status"] = {"pauses": BRAKES}
    lines = responder("pauses").stdout.splitlines()
    assert lines[0].split() == ["ID", "KIND", "SCOPE", "SOURCE", "ACTOR", "CREATED", "AT", "UNTIL", "REASON"]
    assert [lines[1].split()[2], lines[1].split()[-1]] == ["team:shop", "release"]
    assert "the file /brake on a" in lines[2]
    peer.answers["GET", "status"] = {"pauses": []}
    assert "Nothing is paused" in responder("pauses").stderr


def test_resume_names_what_it_cannot_lift(peer: Peer, responder: Responder) -> None:
    peer.answers["DELETE", "pauses/all"] = {"lifted": 1, "pauses": BRAKES[1:]}
    result = responder("resume", "all")
    assert result.stdout == "lifted 1\n"
    assert result.stderr == "still in force: halt of all by the file /brake on a (file-1)\n"


def test_resume_that_lifts_nothing_while_something_is_in_force_is_a_finding(peer: Peer, responder: Responder) -> None:
    peer.answers["DELETE", "pauses/all"] = {"lifted": 0, "pauses": BRAKES[1:]}
    result = responder("resume", "all")
    assert (result.exit_code, result.stdout) == (1, "lifted 0\n")
    assert result.stderr == (
        "still in force: halt of all by the file /brake on a (file-1)\n"
        "nothing was lifted: what a file or the environment has put on is lifted there\n"
    )
    peer.answers["DELETE", "pauses/all"] = {"lifted": 0, "pauses": []}
    assert responder("resume", "all").exit_code == 0


def test_the_pauses_of_the_past_are_those_of_people(peer: Peer, responder: Responder) -> None:
    peer.lists("pauses", [])
    said = responder("pauses", "--all").stderr
    assert said == "Nobody has ever paused anything. What a file or the environment puts on is not kept here.\n"


def test_the_version_is_asked_for_in_two_ways(responder: Responder) -> None:
    for arguments in (["--version"], ["version"]):
        result = responder(*arguments)
        assert (result.exit_code, result.stdout.split(" ")[0]) == (0, "responder")
    assert "Fixes what Alertmanager reports" in responder("--help").stdout


def test_a_tripped_playbook_is_reset_by_its_name(peer: Peer, responder: Responder) -> None:
    peer.answers["POST", "playbooks/add-workers/reset"] = {"playbook": "add-workers"}
    assert responder("reset", "add-workers").stdout == "reset\n"


@pytest.mark.parametrize("by_run", [False, True])
def test_a_target_in_doubt_is_cleared_by_its_name_or_by_the_run(
    peer: Peer, responder: Responder, run_row: Json, *, by_run: bool
) -> None:
    peer.answers["GET", f"runs/{run_row['id']}"] = {**run_row, "target": "http/checkout/workers"}
    peer.answers["DELETE", "quarantines/http%2Fcheckout%2Fworkers"] = {"target": "http/checkout/workers"}
    what = str(run_row["id"]) if by_run else "http/checkout/workers"
    assert responder("clear", what).stdout == "cleared http/checkout/workers\n"


@pytest.mark.parametrize("kind", ["pause", "halt"])
def test_a_brake_that_cannot_be_put_on_names_the_one_that_can(
    responder: Responder, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESPONDER_URL", f"http://127.0.0.1:{free_port()}")
    result = responder(kind, "--reason", "stop")
    assert result.exit_code == Exit.UNREACHABLE
    assert f"the {kind} may not be in force; the file that `brake_file` names needs no answer" in result.stderr


def test_no_answer_in_time_is_told_apart_from_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(SystemExit):
        Client(f"http://127.0.0.1:{silent.getsockname()[1]}", "", 0.1).get("runs")
    assert "gave no answer within 0.1 s" in capsys.readouterr().err
