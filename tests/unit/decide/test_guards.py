"""Each reason not to act, its sentence and when it is looked at again."""

from datetime import timedelta
from typing import Any

import pytest

from responder.domain.alerts import CUT, LONGEST_LABEL, REPLACEMENT, Alert
from responder.domain.limits import TRIP, Cap, Limits, Pause, Rate, Shared, Usage
from responder.domain.modes import Mode
from responder.domain.runs import RunState
from responder.language.intervals import TimeInterval
from tests.unit.decide.bed import MINUTE, SECOND, START, Scene, alert, matchers, playbook, scene


class Policy:
    """What holds for everything in production."""

    def __init__(self, mode: Mode = Mode.AUTO, cap: Cap | None = None) -> None:
        self.matchers = matchers('env="prod"')
        self.max_mode = mode
        self.cap = cap


async def verdict(s: Scene, one: Alert | None = None) -> tuple[str, str]:
    await s.turn(one or alert())
    return s.world.last().verdict, s.world.last().reason


def retry_in(s: Scene) -> timedelta | None:
    at = s.world.last().retry_at
    return None if at is None else at - s.world.now


async def test_a_disabled_playbook() -> None:
    assert (await verdict(scene(playbook(mode=Mode.DISABLED))))[0] == "disabled"
    word, reason = await verdict(scene(playbook(), max_mode=Mode.DISABLED))
    assert word == "disabled"
    assert "max_mode" in reason


@pytest.mark.parametrize(("env", "mode"), [("prod", Mode.APPROVE), ("dev", Mode.AUTO)])
async def test_the_strictest_of_playbook_policy_and_highest_mode(env: str, mode: Mode) -> None:
    s = scene(playbook(), policies=[Policy(Mode.APPROVE)])
    await s.turn(alert(env=env))
    assert s.world.run.mode is mode


def hours(start: str, end: str) -> TimeInterval:
    return TimeInterval.parse({"times": [{"start_time": start, "end_time": end}]})


@pytest.mark.parametrize(
    ("more", "minutes"),
    [({"mute": (hours("11:00", "12:30"), hours("11:30", "13:00"))}, 60), ({"active": (hours("14:00", "15:00"),)}, 120)],
)
async def test_a_muted_playbook_acts_when_its_time_has_come(more: dict[str, Any], minutes: int) -> None:
    s = scene(playbook(limits=Limits(max_age=timedelta(days=1)), **more))
    word, _ = await verdict(s)
    assert (word, retry_in(s)) == ("muted", minutes * MINUTE)
    await s.wait(minutes * MINUTE)
    assert len(s.world.runs) == 1


async def test_a_muted_playbook_leaves_the_alert_to_the_next() -> None:
    s = scene(playbook("day", active=(hours("14:00", "15:00"),), priority=1), playbook())
    await s.turn(alert())
    assert s.world.run.playbook == "restart"


async def test_old_evidence() -> None:
    s = scene(playbook(limits=Limits(max_age=10 * MINUTE)))
    s.world.deliver(alert())
    await s.wait(15 * MINUTE)
    assert s.world.last().verdict == "stale"
    assert "15m ago; the limit is 10m" in s.world.last().reason
    await s.turn(alert(), at=16 * MINUTE)
    assert len(s.world.runs) == 1


async def test_an_alert_that_goes_on_and_off() -> None:
    s = scene(playbook("never", 'alertname="X"'))
    for minute in range(3):
        await s.turn(alert(starts_at=START + minute * MINUTE), at=minute * MINUTE)
        if minute < 2:
            await s.turn(alert("resolved", ends_at=START + minute * MINUTE + 30 * SECOND), at=(minute + 0.6) * MINUTE)
    s.shelf.playbooks = (playbook(),)
    await s.turn(alert(starts_at=START + 2 * MINUTE, annotations={"a": "b"}), at=3 * MINUTE)
    assert s.world.last().verdict == "flapping"
    assert "5 changes in 10m" in s.world.last().reason
    assert s.world.last().retry_at == START + 10 * MINUTE
    await s.wait(7 * MINUTE)
    assert len(s.world.runs) == 1


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"service": "L" * (LONGEST_LABEL - 1) + CUT}, "'service' is longer than 4096 characters and was cut."),
        ({"service": f"a{REPLACEMENT}b"}, "'service' holds characters that cannot be kept, such as NUL."),
        ({"unused": REPLACEMENT}, "'unused' holds"),
        ({"n" * (LONGEST_LABEL - 1) + CUT: "x"}, "was cut (in its name)."),
    ],
)
async def test_an_alert_with_an_altered_label_is_told_and_not_acted_on(labels: dict[str, Any], said: str) -> None:
    s = scene(playbook(target="http/fixed"))
    word, reason = await verdict(s, alert(**labels))
    assert word == "label_altered"
    assert said in reason
    assert len(reason) < 300
    assert not s.world.runs
    assert len(s.world.open_incidents()) == 1
    await s.turn(alert(annotations={"a": "b"}, **labels), at=MINUTE)
    assert not s.world.runs


async def test_an_alert_that_begins_in_the_future_is_told_and_not_acted_on() -> None:
    s = scene(playbook())
    word, reason = await verdict(s, alert(starts_at=START + 61 * MINUTE))
    assert word == "not_begun"
    assert f"begin at {START + 61 * MINUTE:%Y-%m-%d %H:%M} UTC" in reason
    assert len(s.world.open_incidents()) == 1
    assert not s.world.runs
    await s.wait(5 * MINUTE)
    assert len(s.world.runs) == 1


async def test_an_altered_annotation_forbids_nothing_unless_it_names_the_target() -> None:
    texts = {"text": "x" * 16_383 + CUT, "named": f"a{REPLACEMENT}b"}
    s = scene(playbook())
    await s.turn(alert(annotations=texts))
    assert s.world.run.target == "http/checkout"
    for name, said in (("named", "U+FFFD"), ("text", "1024 is the most")):
        s = scene(playbook(target=f"http/{{{{ annotations.{name} }}}}"))
        word, reason = await verdict(s, alert(annotations=texts))
        assert (word, said in reason, s.world.runs) == ("target_invalid", True, {})


@pytest.mark.parametrize(
    ("target", "labels", "word"),
    [
        ("http/{{ labels.gone }}", {}, "label_missing"),
        ("http/{{ labels.path }}", {"path": "a/b"}, "target_invalid"),
        ("http/{{ owner.deployment }}", {}, "target_invalid"),
        ("redis/{{ connection }}", {}, "connection_unknown"),
        ("deployment/shop/{{ labels.service }}", {}, "cluster_unknown"),
    ],
)
async def test_without_a_valid_target_nothing_starts(target: str, labels: dict[str, Any], word: str) -> None:
    s = scene(playbook(target=target))
    assert (await verdict(s, alert(**labels)))[0] == word
    assert not s.world.runs
    assert retry_in(s) is None


async def test_the_connection_and_the_cluster_come_from_the_rules() -> None:
    s = scene(playbook(target="redis/{{ connection }}"), connection_of=lambda kind, _: f"{kind}-1")
    await s.turn(alert())
    assert (s.world.run.target, s.world.run.context.connection) == ("redis/redis-1", "redis-1")
    s = scene(playbook(target="node/{{ labels.service }}"))
    await s.turn(alert(cluster="eu"))
    assert s.world.run.target == "eu/node/checkout"


async def test_an_unknown_cluster_is_refused_only_where_a_cluster_is_needed() -> None:
    def unknown(_: object) -> str:
        raise ValueError("no cluster eu is configured; there is us")

    s = scene(playbook(target="node/{{ labels.service }}", priority=1), playbook("http"), cluster_of=unknown)
    word, reason = await verdict(s)
    assert word == "cluster_unknown"
    assert "there is us" in reason
    assert s.world.run.playbook == "http"


async def test_a_protected_target() -> None:
    s = scene(playbook(), protect=["http/*"])
    assert (await verdict(s))[0] == "protected"


@pytest.mark.parametrize(("kind", "word"), [("pause", "paused"), ("halt", "halted")])
async def test_a_stop_sign_waits_and_lets_nothing_blunter_act(kind: str, word: str) -> None:
    s = scene(playbook(priority=1), playbook("blunt"))
    s.world.stops = [Pause("p", kind, "playbook:restart", "deploying", "ann", START, None)]
    await s.turn(alert())
    assert s.world.last().verdict == word
    assert f"ann {kind}" in s.world.last().reason
    assert "playbook:restart: “deploying”" in s.world.last().reason
    assert not s.world.runs
    s.world.stops = []
    await s.wait(61 * SECOND)
    assert s.world.run.playbook == "restart"


async def test_a_quarantined_target() -> None:
    s = scene(playbook(), playbook("z"))
    s.world.doubts["http/checkout"] = "Run r: nobody knows"
    word, reason = await verdict(s)
    assert word == "quarantined"
    assert "nobody knows" in reason
    assert s.world.verdicts("z") == []


@pytest.mark.parametrize(
    ("mine", "state", "word"),
    [
        ("http/checkout", RunState.ACTING, "busy"),
        ("http/checkout/items", RunState.ACTING, "busy"),
        ("http/checkout", RunState.AWAITING_APPROVAL, "run"),
        ("http/checkout", RunState.KEPT, "run"),
        ("http/checkouts", RunState.ACTING, "run"),
    ],
)
async def test_a_target_on_which_another_playbook_works(mine: str, state: RunState, word: str) -> None:
    s = scene(playbook("other", 'alertname="Up"', target="http/checkout"), playbook(target=mine))
    await s.turn(alert(alertname="Up"))
    s.world.put(s.world.run, state)
    await s.turn(alert())
    assert s.world.last().verdict == word
    if word == "busy":
        assert retry_in(s) == 5 * SECOND


async def test_a_target_above_one_that_is_worked_on_is_busy_even_within_one_slice() -> None:
    s = scene(playbook("other", 'alertname="Up"', target="http/checkout/items"), playbook(target="http/checkout"))
    await s.turn(alert(alertname="Up"), alert())
    assert s.world.last().verdict == "busy"


async def test_what_has_tripped_asks_and_says_why() -> None:
    s = scene(playbook(mode=Mode.AUTO))
    s.world.stops = [Pause("t", TRIP, "playbook:restart", "2 runs in a row did not help.", "responder", START)]
    await s.turn(alert())
    (run,) = s.world.runs.values()
    assert run.mode is Mode.APPROVE
    said = s.world.last().reason
    assert "Mode approve. The playbook failed too often in a row" in said
    assert "2 runs in a row did not help." in said


LIMITED: list[tuple[Limits, Usage, str, timedelta | None]] = [
    (Limits(cooldown=10 * MINUTE), Usage(last_end=START - MINUTE), "cooldown", 9 * MINUTE),
    (Limits(per_target=Rate(1, 60 * MINUTE)), Usage(on_target=(START - MINUTE,)), "rate_target", 59 * MINUTE),
    (Limits(per_playbook=Rate(1, 60 * MINUTE)), Usage(by_playbook=(START - MINUTE,)), "rate_playbook", 59 * MINUTE),
    # Made now, that is reserved: it may be given back at any moment.
    (Limits(per_playbook=Rate(1, 60 * MINUTE)), Usage(by_playbook=(START,)), "rate_playbook", MINUTE),
    (Limits(concurrent=1), Usage(running=1), "concurrent", 5 * SECOND),
    (Limits(attempts=3), Usage(unsuccessful=3), "attempts_exhausted", None),
    (Limits(), Usage(helped=(START - MINUTE,) * 3), "recurring", None),
    (Limits(), Usage(helped=(START - 25 * 60 * MINUTE, START - MINUTE, START)), "run", None),
    (Limits(recurrence=Rate(1, 60 * MINUTE)), Usage(helped=(START - MINUTE,)), "recurring", None),
]


@pytest.mark.parametrize(("limits", "usage", "word", "wait"), LIMITED)
async def test_the_limits(limits: Limits, usage: Usage, word: str, wait: timedelta | None) -> None:
    s = scene(playbook(limits=limits))
    s.world.usages["restart", "http/checkout"] = usage
    assert (await verdict(s))[0] == word
    assert retry_in(s) == wait


@pytest.mark.parametrize("limits", [Limits(concurrent=2), Limits(per_playbook=Rate(2, MINUTE))])
async def test_the_limits_count_what_the_same_slice_starts(limits: Limits) -> None:
    s = scene(playbook(limits=limits))
    await s.turn(*(alert(service=f"s{index}") for index in range(5)))
    assert len(s.world.runs) == 2


def prod(**bounds: Rate | int | None) -> Policy:
    return Policy(cap=Cap("policy:prod", 'the policy for env="prod"', **bounds))  # type: ignore[arg-type] # each has its own type


@pytest.mark.parametrize(
    ("policy", "used", "word", "wait"),
    [
        (prod(rate=Rate(1, 60 * MINUTE)), Shared(effects=(START - MINUTE,)), "policy_rate", 59 * MINUTE),
        (prod(per_target=Rate(1, 60 * MINUTE)), Shared(on_target=(START - MINUTE,)), "policy_target", 59 * MINUTE),
        (prod(concurrent=1), Shared(running=1), "policy_concurrent", 5 * SECOND),
    ],
)
async def test_what_policies_limit_holds_where_they_fit_and_says_which(
    policy: Policy, used: Shared, word: str, wait: timedelta
) -> None:
    s = scene(playbook(), policies=[policy])
    s.world.usages["restart", "http/checkout"] = Usage(shared={"policy:prod": used})
    said, reason = await verdict(s, alert(env="prod"))
    assert (said, retry_in(s)) == (word, wait)
    assert 'env="prod"' in reason
    assert s.world.caps_asked == {"policy:prod"}
    assert (await verdict(s, alert(env="dev", instance="two")))[0] == "run"


@pytest.mark.parametrize("policy", [prod(concurrent=2), prod(rate=Rate(2, MINUTE))])
async def test_what_policies_limit_is_shared_by_playbooks_within_a_slice(policy: Policy) -> None:
    s = scene(playbook("other", 'alertname="Up"'), playbook(), policies=[policy])
    alerts = [alert(alertname=name, service=f"{name}-{at}", env="prod") for at in range(3) for name in ("Up", "Down")]
    await s.turn(*(alert(service=f"s{at}", env="prod") for at in range(3)), *alerts)
    assert len(s.world.runs) == 2
