"""``responder explain``: the story of an alert in the order of time."""

from tests.unit.cli.conftest import Json, Peer, Responder

EPISODE: Json = {
    "id": "e1",
    "source": "alertmanager",
    "severity": "critical",
    "labels": {"alertname": "CheckoutOverloaded", "service": "checkout", "severity": "critical"},
    "opened_at": "2026-01-05T12:00:00Z",
    "closed_at": "2026-01-05T12:03:00Z",
    "closed_reason": "",
}
STORY: Json = {
    "episode": EPISODE,
    "decisions": [
        {
            "playbook": "grow-cache",
            "verdict": "cooldown",
            "reason": "Worked on a short time ago.",
            "first_at": "2026-01-05T12:00:01Z",
            "last_at": "2026-01-05T12:02:30Z",
            "retry_at": "2026-01-05T12:10:00Z",
            "count": 3,
        },
        {
            "playbook": "add-workers",
            "verdict": "run",
            "reason": "A run was started.",
            "last_at": "2026-01-05T12:00:02Z",
            "retry_at": None,
            "count": 1,
        },
    ],
    "runs": [
        {
            "id": "abcdefgh-12345678",
            "playbook": "add-workers",
            "target": "http/checkout/workers",
            "mode": "auto",
            "created_at": "2026-01-05T12:00:02Z",
            "started_at": "2026-01-05T12:00:03Z",
            "finished_at": "2026-01-05T12:01:00Z",
            "state": "verified",
            "reason": "error rate: 0.1 %, needs < 2 %",
            "steps": [{"id": "add", "state": "applied", "before": {"workers": 4}, "after": {"workers": 6}}],
        },
    ],
}
TOLD = """\
CheckoutOverloaded  service=checkout, severity=critical
12:00:00 received   critical, from alertmanager
12:00:01 decided    ✘ grow-cache: Worked on a short time ago. [cooldown] (3×, last 12:02:30), looked at again 12:10:00
12:00:02 decided    ✔ add-workers: A run was started. [run]
12:00:02 run        abcdefgh-12345678: add-workers on http/checkout/workers, mode auto
12:00:03 step       ✔ add workers: 4 → 6 [applied]
12:01:00 ended      ✔ verified: error rate: 0.1 %, needs < 2 %
12:03:00 closed     resolved
"""


def test_the_story_is_told_in_the_order_of_time(peer: Peer, responder: Responder) -> None:
    peer.answers["GET", "explain"] = {"items": [STORY]}
    result = responder("explain", "alertname=CheckoutOverloaded")
    assert result.exit_code == 0
    assert result.stdout == TOLD


def _step(name: str, state: str, **more: object) -> Json:
    return {"id": name, "state": state, "before": {"workers": 4}, "after": {"workers": 6}, **more}


def _told(peer: Peer, responder: Responder, *runs: Json) -> list[str]:
    peer.answers["GET", "explain"] = {"items": [{"episode": EPISODE, "decisions": [], "runs": list(runs)}]}
    lines = responder("explain", "alertname=CheckoutOverloaded").stdout.splitlines()
    return [line for line in lines if " step " in line or " ended " in line or " rollback " in line]


def test_each_step_has_its_own_time_and_its_undo_the_time_of_the_undo(peer: Peer, responder: Responder) -> None:
    steps = [
        _step("add", "undone", at="2026-01-05T12:00:03Z", undone_at="2026-01-05T12:00:50Z"),
        {"id": "wait", "state": "done", "before": None, "after": "3s", "at": None},
        _step("more", "drifted", at="2026-01-05T12:00:08Z", settled_at="2026-01-05T12:00:09Z"),
        {"id": "note", "state": "done", "before": None, "after": "look", "at": "2026-01-05T12:00:10Z"},
        _step("last", "not_needed"),
    ]
    run: Json = {**STORY["runs"][0], "state": "rolled_back", "reason": "", "steps": steps}  # type: ignore[index] # a list
    assert _told(peer, responder, run) == [
        "12:00:03 step       ✔ add workers: 4 → 6 [applied]",
        "         step       ✔ wait 3s [done]",
        "12:00:08 step       ✔ more workers: 4 → 6 [applied]",
        "12:00:10 step       ✔ note look [done]",
        "         step       – last workers: 4 → 6 [not_needed]",
        "12:00:50 step       ↩ add workers: 4 → 6 [undone]",
        "12:01:00 step       ! more workers: 4 → 6 [drifted]",
        "12:01:00 ended      ↩ rolled_back: ",
    ]


def test_an_undo_that_nobody_can_tell_of_is_told_behind_the_change(peer: Peer, responder: Responder) -> None:
    step = _step("add", "undo_uncertain", at="2026-01-05T12:00:03Z", settled_at="2026-01-05T12:00:04Z")
    run: Json = {**STORY["runs"][0], "state": "unknown", "steps": [step]}  # type: ignore[index] # a list of runs
    assert [line[:21] for line in _told(peer, responder, run)] == [
        "12:00:03 step       ✔",
        "12:01:00 step       ?",
        "12:01:00 ended      ✘",
    ]


def test_what_a_rollback_undid_is_told_of_the_rollback(peer: Peer, responder: Responder) -> None:
    step = _step("add", "undone", at="2026-01-05T12:00:03Z", undone_at="2026-01-05T12:02:01Z")
    run: Json = {**STORY["runs"][0], "steps": [step]}  # type: ignore[index] # a list of runs
    again = {"of_run": run["id"], "created_at": "2026-01-05T12:02:00Z", "finished_at": "2026-01-05T12:02:02Z"}
    assert [line[:21] for line in _told(peer, responder, run, {**run, **again, "state": "rolled_back"})] == [
        "12:00:03 step       ✔",
        "12:01:00 ended      ✔",
        "12:02:00 rollback   a",
        "12:02:01 step       ↩",
        "12:02:02 ended      ↩",
    ]


def test_a_run_under_way_ends_with_where_it_stands(peer: Peer, responder: Responder, run_row: Json) -> None:
    still_firing: Json = {**EPISODE, "closed_at": None}
    taken: Json = {"acknowledged_by": "alice", "acknowledged_at": "2026-01-05T12:02:30Z"}
    story: Json = {"incident": taken, "episode": still_firing, "decisions": [], "runs": [run_row]}
    peer.answers["GET", "explain"] = {"items": [story]}
    told = responder("explain", "alertname=CheckoutOverloaded").stdout
    assert told.splitlines()[-1].endswith("◐ awaiting_approval")
    assert "taken      ✔ by alice" in told


def test_an_alert_that_never_came_exits_1(peer: Peer, responder: Responder) -> None:
    peer.answers["GET", "explain"] = {"items": []}
    result = responder("explain", "alertname=Nothing")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No alert with these labels" in result.stderr
    assert "no playbook fits" in result.stderr
    assert "responder deliveries" in result.stderr


def test_what_nobody_has_decided_yet_is_not_called_never_received(peer: Peer, responder: Responder) -> None:
    peer.answers["GET", "explain"] = {"items": [], "undecided": {"waiting": 2, "oldest_seconds": 41.7}}
    result = responder("explain", "alertname=Nothing")
    assert result.exit_code == 1
    assert "received" not in result.stderr
    assert "No alert with these labels has been decided yet; all of them must match." in result.stderr
    assert (
        "2 deliveries wait to be decided, the oldest for 42 s: responder deliveries -w state=waiting" in result.stderr
    )
    peer.answers["GET", "explain"] = {"items": [STORY], "undecided": {"waiting": 1, "oldest_seconds": 0.2}}
    told = responder("explain", "alertname=CheckoutOverloaded").stdout
    assert told == TOLD + "not yet    1 delivery waits to be decided: responder deliveries -w state=waiting\n"


def test_what_would_be_tried_is_said_of_an_alert_that_never_came(peer: Peer, responder: Responder) -> None:
    peer.answers["GET", "explain"] = {"items": [], "candidates": [{"playbook": "add-workers", "mode": "approve"}]}
    said = responder("explain", "alertname=CheckoutOverloaded").stderr
    assert "these would be tried: add-workers (approve)" in said


def test_a_run_is_not_a_label(responder: Responder) -> None:
    result = responder("explain", "abcdefgh-12345678")
    assert result.exit_code == 2
    assert "is not LABEL=VALUE, such as alertname=HighLatency; for a run: responder runs show RUN" in result.stderr


def test_labels_are_pairs(responder: Responder) -> None:
    assert responder("explain", "CheckoutOverloaded").exit_code == 2


def test_what_repeats_itself_is_told_once_and_counted(peer: Peer, responder: Responder) -> None:
    runs: list[Json] = [
        {
            **STORY["runs"][0],  # type: ignore[index] # a list of runs
            "id": f"abcdefgh-{second:08d}",
            "created_at": f"2026-01-05T12:00:{second:02d}Z",
            "finished_at": f"2026-01-05T12:00:{second:02d}Z",
            "state": "failed" if second == 30 else "verified",
        }
        for second in range(2, 40)
    ]
    decisions: list[Json] = [
        {
            "playbook": "add-workers",
            "verdict": "run",
            "reason": "A run was started.",
            "last_at": run["created_at"],
            "run": run["id"],
        }
        for run in runs
    ]
    peer.answers["GET", "explain"] = {"items": [{"episode": EPISODE, "decisions": decisions, "runs": runs}]}
    lines = responder("explain", "alertname=CheckoutOverloaded").stdout.splitlines()
    assert [line for line in lines if " more like this " in line] == [
        "12:00:03 …          37 more like this between 12:00:03 and 12:00:39",
        "12:00:03 …          27 more like this between 12:00:03 and 12:00:29, the last abcdefgh-00000029",
        "12:00:32 …          8 more like this between 12:00:32 and 12:00:39, the last abcdefgh-00000039",
    ]
    assert len(lines) == 1 + 1 + 1 + 3 * 3 + 3 + 1
    assert sum("failed" in line for line in lines) == 1
