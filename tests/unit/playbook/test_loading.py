"""What a playbook becomes when it is loaded."""

from datetime import UTC, datetime, timedelta

import pytest

from responder.app import catalogue as real_catalogue
from responder.domain.errors import PlaybookError
from responder.domain.limits import Limits, Rate, Share
from responder.domain.modes import Mode
from responder.language.intervals import TimeInterval
from responder.language.matchers import parse_matcher
from responder.playbook.build import revision_of
from responder.playbook.model import Playbook
from responder.playbook.names import Names
from responder.playbook.schema import examine, load_playbook
from responder.playbook.shape import story_keys
from tests.unit.playbook.fakes import CATALOGUE, MINIMAL, Count, Restart, Scale, with_lines


def load(*lines: str, names: Names | None = None, base: str = MINIMAL) -> Playbook:
    return load_playbook(with_lines(*lines, base=base), "a.yaml", CATALOGUE, names)


def rules(text: str, names: Names | None = None) -> list[tuple[str, str]]:
    return [(complaint.severity, complaint.rule) for complaint in examine(text, "a.yaml", CATALOGUE, names)[1]]


def test_a_minimal_playbook_observes_and_undoes() -> None:
    playbook = load()
    assert playbook.name == "scale-out"
    assert playbook.mode is Mode.OBSERVE
    assert playbook.on_failure == "undo"
    assert playbook.limits == Limits(mass_failure=Share(0.2))
    assert playbook.approval.from_ == ("role:operator",)
    assert playbook.alternatives == ((parse_matcher('alertname="HighLoad"'),),)
    assert playbook.revision == revision_of(playbook.text)
    (step,) = playbook.steps
    assert (step.id, step.action, step.arguments) == ("scale", Scale, {"by": 2, "max": 10})


def test_the_keys_read_as_a_story() -> None:
    assert " ".join(story_keys()) == (
        "schema name summary owner priority mode matchers match_any cluster target when active_time_intervals "
        "mute_time_intervals limits approval diagnose steps steps_until verify on_failure revert_after notify docs"
    )


def test_a_playbook_without_steps_only_tells() -> None:
    playbook = load_playbook('name: tell\nmatchers:\n  - a="b"\n', "a.yaml", CATALOGUE, None)
    assert playbook.tells_only


def test_limits_and_approval_are_typed() -> None:
    playbook = load(
        "limits:",
        "  per_target: 3 per 1h",
        "  per_playbook: 20 per 1d",
        "  concurrent: 2",
        "  cooldown: 10m",
        "  attempts: 2",
        "  max_age: 1h30m",
        "  blast_radius:",
        "    share: 20%",
        "    of: team",
        "    total: 40",
        "approval:",
        '  matchers: [severity="critical"]',
        "  from: role:admin",
        "  timeout: 10m",
        "  on_timeout: skip",
    )
    assert playbook.limits == Limits(
        per_target=Rate(3, timedelta(hours=1)),
        per_playbook=Rate(20, timedelta(days=1)),
        concurrent=2,
        cooldown=timedelta(minutes=10),
        attempts=2,
        max_age=timedelta(minutes=90),
        blast_radius=Share(0.2, "team", 40),
        mass_failure=Share(0.2),
    )
    assert playbook.approval.matchers == (parse_matcher('severity="critical"'),)
    assert playbook.approval.from_ == ("role:admin",)
    assert playbook.approval.timeout == timedelta(minutes=10)
    assert playbook.approval.on_timeout == "skip"


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ((), Share(0.2)),
        (("limits:", "  mass_failure: off"), None),
        (("limits:", "  mass_failure: 100%"), None),
        (("limits:", "  mass_failure: 0.5"), Share(0.5)),
        (("limits:", "  mass_failure:", "    share: 10%", "    total: 40"), Share(0.1, total=40)),
    ],
)
def test_a_mass_failure_stops_automation_unless_it_is_switched_off(lines: tuple[str, ...], kept: Share | None) -> None:
    assert load(*lines).limits.mass_failure == kept


def test_every_alternative_keeps_the_common_matchers() -> None:
    playbook = load("match_any:", "  - - severity=page", "  - - team=a", "    - env=prod")
    common, page, team, env = map(parse_matcher, ('alertname="HighLoad"', "severity=page", "team=a", "env=prod"))
    assert playbook.alternatives == ((common, page), (common, team, env))


def test_looks_for_people_are_about_the_target_unless_they_say_otherwise() -> None:
    events, named = load(
        "diagnose:", "  - fake.count: { of: pods }", "  - name: how many", "    fake.count: {}"
    ).diagnose
    text = "name: a\nmatchers: [ a=b ]\ndiagnose:\n  - query: rate(errors[5m])\n"
    (rate,) = load_playbook(text, "a.yaml", real_catalogue(), None).diagnose
    assert (events.name, events.arguments) == ("fake.count", {"of": "pods"})
    assert (rate.name, rate.probe.name, rate.arguments) == (
        "rate(errors[5m])", "prometheus.query", {"query": "rate(errors[5m])"},
    )  # fmt: skip
    assert (named.name, named.arguments) == ("how many", {"of": "http/checkout"})


@pytest.mark.parametrize(
    ("look", "says"),
    [
        ("{ fake.cuont: { of: pods } }", 'did you mean "fake.count"?'),
        ("{ name: nothing }", "a look has exactly one probe or query, and this has none"),
        ("{ query: up, fake.count: { of: pods } }", "a look has one probe, and fake.count is already here"),
        ("{ fake.count: { off: pods } }", "off"),
        ("{ fake.count: 7 }", "its inputs are expected"),
    ],
)
def test_a_look_that_cannot_be_taken_is_refused_when_it_is_read(look: str, says: str) -> None:
    with pytest.raises(PlaybookError) as refused:
        load("diagnose:", f"  - {look}")
    assert says in "\n".join(f"{one.message} {one.hint}" for one in refused.value.complaints)


def test_thresholds_are_numbers_in_the_unit_of_the_query() -> None:
    playbook = load(
        "verify:",
        "  - name: share",
        "    query: errors",
        "    below: 1%",
        "    or_improves_by: 50%",
        "    within: 10m",
        "    for: 1m",
        "  - query: age",
        "    at_most: 5m",
        "    no_data: fail",
        '    requires: ["up == 1"]',
        "  - name: texts",
        "    probe: fake.count",
        "    with: { of: pods }",
        "    equals: ready",
        "  - name: truth",
        "    probe: fake.count",
        "    with: { of: pods }",
        "    equals: true",
        "  - query: absent_thing",
        "    absent: true",
    )
    share, age, texts, truth, absent = playbook.verify
    assert (share.limits, share.percent, share.improves_by) == ({"below": 0.01}, True, 0.5)
    assert (share.within, share.hold) == (timedelta(minutes=10), timedelta(minutes=1))
    assert (age.name, age.limits, age.percent, age.no_data) == ("age", {"at_most": 300.0}, False, "fail")
    assert [str(required) for required in age.requires] == ["up == 1"]
    assert (texts.probe, texts.arguments, texts.limits) == (Count, {"of": "pods"}, {"equals": "ready"})
    assert truth.limits == {"equals": True}
    assert absent.limits == {"absent": True}


def test_steps_without_an_id_are_named_after_their_action() -> None:
    step = "  - fake.scale: { by: 2, max: 10 }"
    playbook = load(step, "  - id: scale-2", "    fake.scale: { by: 2, max: 10 }", step)
    assert [step.id for step in playbook.steps] == ["scale", "scale-3", "scale-2", "scale-4"]


def test_a_numeric_template_is_left_for_the_alert_to_fill() -> None:
    playbook = load(base=MINIMAL.replace("max: 10", 'max: "{{ labels.most }}"'))
    assert playbook.steps[0].arguments["max"] == "{{ labels.most }}"


def test_time_intervals_are_taken_by_name_or_written_out() -> None:
    december = TimeInterval.parse({"months": ["december"]})
    names = Names(time_intervals={"holidays": (december,)})
    playbook = load(
        "mute_time_intervals:",
        "  - holidays",
        "  - weekdays: [sunday]",
        names=names,
    )
    assert playbook.mute[0] == december
    assert playbook.mute[1].contains(datetime(2026, 11, 22, 12, tzinfo=UTC))
    assert not playbook.mute[1].contains(datetime(2026, 11, 23, 12, tzinfo=UTC))


def test_notify_names_destinations_and_the_states_they_hear_of() -> None:
    playbook = load(
        "notify:",
        '  slack: ["#a", "#b"]',
        "  pagerduty: { service: payments, states: [failed, unknown] }",
        "  replace: true",
    )
    assert playbook.notify.destinations == ("slack:#a", "slack:#b", "pagerduty:payments")
    assert playbook.notify.states == {"pagerduty:payments": frozenset({"failed", "unknown"})}
    assert playbook.notify.replace
    assert load('notify: { slack: "#a" }').notify.destinations == ("slack:#a",)
    assert load("notify: { pagerduty: payments }").notify.destinations == ("pagerduty:payments",)
    more = "webhook: audit, email: [a@b.example, c@d.example], teams: [x], slack_webhook: y, apprise: z"
    assert load(f"notify: {{ {more} }}").notify.destinations == (
        "webhook:audit", "email:a@b.example", "email:c@d.example", "teams:x", "slack_webhook:y", "apprise:z"
    )  # fmt: skip


def test_an_irreversible_unfenced_step_runs_in_auto_when_both_are_written_out() -> None:
    base = MINIMAL.replace("by: 2", "to: 1").replace("fake.scale", "fake.restart")
    playbook = load("    undo: none", "    accept: unfenced", "mode: auto", base=base)
    assert playbook.steps[0].action is Restart
    assert playbook.steps[0].accepts == {"unfenced"}
    assert ("error", "unfenced") in rules(with_lines("    undo: none", "mode: auto", base=base))
    assert rules(with_lines("    undo: none", "mode: approve", base=base)) == []


def test_auto_without_verify_is_flagged_only_where_the_alerts_rule_cannot_be_asked() -> None:
    text = with_lines("mode: auto")
    assert rules(text) == []
    assert rules(text, Names(connections={"http": frozenset({"checkout"})}, prometheus=True)) == []
    flagged = [("warning", "verify-missing")]
    assert rules(text, Names(connections={"http": frozenset({"checkout"})})) == flagged


@pytest.mark.parametrize(
    ("connection", "found"), [("cache", []), ("cahce", ["unknown-connection"]), ('"{{ connection }}"', [])]
)
def test_a_probe_of_a_database_names_a_connection_that_exists(connection: str, found: list[str]) -> None:
    text = f"""\
name: cache
matchers:
  - alertname="RedisFull"
target: redis/cache
steps:
  - redis.config_set:
      parameter: maxmemory-policy
      value: allkeys-lru
verify:
  - name: memory
    probe: redis.info
    with:
      connection: {connection}
      figure: memory_ratio
    below: 90%
"""
    names = Names(connections={"redis": frozenset({"cache"})})
    assert [complaint.rule for complaint in examine(text, "a.yaml", real_catalogue(), names)[1]] == found


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ("wait: { for: 40d }", "wait.for: 40d is too long, at most 24h"),
        ("wait: { for: 0s }", "wait.for: a duration of zero leaves no time"),
        ("wait: { for: 5 }", "wait.for: '5' has no unit: write 5s, 5m or 5h"),
        ("wait: { for: 24h }", ""),
        ("ask: { question: ok?, timeout: 90d }", "ask.timeout: 90d is too long, at most 7d"),
        ("ask: { question: ok?, timeout: 0s }", "ask.timeout: a duration of zero leaves no time"),
        ("ask: { question: ok?, timeout: 7d }", ""),
    ],
)
def test_how_long_a_target_may_stay_locked_has_bounds(step: str, found: str) -> None:
    change = "  - http.request: { service: checkout, read: GET /x, send: PUT /x, json: { /a: 1 } }"
    text = f"name: a\nmatchers: [ alertname=A ]\ntarget: http/checkout\nsteps:\n  - {step}\n{change}\n"
    said = [str(one) for one in examine(text, "a.yaml", real_catalogue(), None)[1] if "cooldown" not in str(one)]
    assert [found in one for one in said if "error" in one] == ([True] if found else []), said
    last = text.replace(f"  - {step}\n{change}\n", f"{change}\n  - {step}\n")
    follows = "nothing follows this wait" in str(
        [str(one) for one in examine(last, "a.yaml", real_catalogue(), None)[1]]
    )
    assert follows == step.startswith("wait")


def test_a_query_that_people_are_shown_is_held_against_promql_as_any_other() -> None:
    for look in ("query: sum(rate(x[5m]", "prometheus.query: { query: 'sum(rate(x[5m]' }"):
        found = examine(with_lines("diagnose:", f"  - {look}"), "a.yaml", real_catalogue(), None)[1]
        assert ("promql", "add the )") in [(one.rule, one.hint) for one in found]


@pytest.mark.parametrize("clusters", [frozenset[str](), frozenset({"eu"})])
def test_kubernetes_without_a_cluster_is_flagged(clusters: frozenset[str]) -> None:
    names = Names(connections={"http": frozenset({"checkout"})}, clusters=clusters)
    probe = ["when:", "  - probe: kubernetes.pods", "    with: { of: deployment/a/b }", "    above: 0"]
    for lines in (probe, ["diagnose:", "  - kubernetes.pods: { of: deployment/a/b }"]):
        found = examine(with_lines(*lines), "a.yaml", real_catalogue(), names)[1]
        assert ("no-cluster" in [one.rule for one in found]) == (not clusters)


def test_warnings_do_not_keep_a_playbook_from_loading() -> None:
    text = MINIMAL.replace('alertname="HighLoad"', 'alertname!="Watchdog"')
    playbook, complaints = examine(text, "a.yaml", CATALOGUE, None)
    assert playbook == load_playbook(text, "a.yaml", CATALOGUE, None)
    assert [complaint.rule for complaint in complaints] == ["only-negative"]


@pytest.mark.parametrize("matcher", ['severity=~".*"', 'severity=""', 'severity!="none"'])
def test_a_matcher_that_a_missing_label_satisfies_names_no_alert(matcher: str) -> None:
    assert rules(MINIMAL.replace('alertname="HighLoad"', matcher)) == [("warning", "only-negative")]


def test_all_errors_are_reported_at_once_and_in_order() -> None:
    text = "nmae: x\nmatchers: []\ntarget: 7\nsteps:\n  - fake.scale: { bye: 2 }\n    timeout: soon\n"
    with pytest.raises(PlaybookError) as raised:
        load_playbook(text, "a.yaml", CATALOGUE, None)
    places = [(complaint.line, complaint.column) for complaint in raised.value.complaints]
    assert places == sorted(places)
    assert {line for line, _ in places} == {1, 2, 3, 5, 6}


def test_a_file_that_is_not_utf8_is_a_complaint() -> None:
    playbook, complaints = examine(b"name: \xff\n", "a.yaml", CATALOGUE, None)
    assert playbook is None
    assert complaints[0].line == 1


def test_bytes_and_text_give_the_same_playbook() -> None:
    assert examine(MINIMAL.encode(), "a.yaml", CATALOGUE, None)[0] == load()


@pytest.mark.parametrize(
    ("lines", "allowed"),
    [
        (('  - id: b\n    fake.scale: { by: 1, max: 2, note: "{{ steps.a.after.n }}" }',), True),
        (('  - id: b\n    fake.scale: { by: 1, max: 2, note: "{{ steps.b.after.n }}" }',), False),
        (("    verify: [ { query: 'up{n=\"{{ steps.a.after.n }}\"}', equals: 1 } ]",), True),
        (("    when: [ { query: 'up{n=\"{{ steps.a.after.n }}\"}', equals: 1 } ]",), False),
        (("verify: [ { query: 'up{n=\"{{ steps.a.after.n }}\"}', equals: 1 } ]",), True),
        (("when: [ { query: 'up{n=\"{{ steps.a.after.n }}\"}', equals: 1 } ]",), False),
        (('docs: { by_hand: "{{ steps.a.before.n }}" }',), True),
        (('docs: { by_hand: "{{ steps.a.later.n }}" }',), False),
    ],
)
def test_a_steps_images_exist_only_behind_it(lines: tuple[str, ...], allowed: bool) -> None:  # noqa: FBT001 - a column of the table
    text = with_lines(*lines, base=MINIMAL.replace("  - fake", "  - id: a\n    fake"))
    assert rules(text) == ([] if allowed else [("error", "unknown-step")])


def test_an_owner_that_no_pod_has_is_named_with_the_one_that_was_meant() -> None:
    misspelt = MINIMAL.replace("target: http/checkout", "target: deployment/shop/{{ owner.deploymnet }}")
    [found] = [one for one in examine(misspelt, "a.yaml", CATALOGUE, None)[1] if one.rule == "unknown-owner"]
    assert found.hint == 'did you mean "owner.deployment"?'
    assert ("error", "owner-elsewhere") in rules(MINIMAL.replace("http/checkout", "http/{{ owner.deployment }}"))
