"""Webhook bodies: every captured one is read, and no bytes lead to anything but a Notice or an IntakeError."""

import json
import re
import timeit
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.alerts import Notice, alteration, fingerprint
from responder.domain.errors import IntakeError
from responder.intake import fast
from responder.intake.bounds import MOST_ALERTS, MOST_NESTED, MOST_VALUES
from responder.intake.formats import Glance, Kind, look, parse, parse_closely
from tests.bed.alerts import alert, resolved, webhook
from tests.bed.web import JsonObject

PAYLOADS = Path(__file__).parents[2] / "payloads"
CAPTURED = [path for path in sorted(PAYLOADS.glob("*.json")) if "alerts" in json.loads(path.read_bytes())]


def body(**changes: object) -> bytes:
    return json.dumps({**webhook([alert(), alert(pod="a")]), **changes}).encode()


def with_alert(**changes: object) -> bytes:
    """Two alerts, the second one changed."""
    good, bad = alert(), {**alert(pod="a"), **changes}
    return json.dumps(webhook([good]) | {"alerts": [good, bad]}).encode()


def refused(data: bytes, kind: Kind = "alertmanager") -> str:
    with pytest.raises(IntakeError) as caught:
        parse(kind, data)
    assert caught.value.status == 400
    with pytest.raises(IntakeError, match=re.escape(str(caught.value))):
        look(kind, data)
    assert len(str(caught.value)) < 200
    return str(caught.value)


@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_every_captured_notification_is_read_without_mending(path: Path) -> None:
    data = json.loads(path.read_bytes())
    notice = parse("alertmanager", path.read_bytes())
    assert (notice.quarantined, notice.flags) == ((), ())
    assert notice.truncated == data.get("truncatedAlerts", 0)
    assert notice.group_key == data["groupKey"]
    for ours, theirs in zip(notice.alerts, data["alerts"], strict=True):
        assert dict(ours.labels) == theirs["labels"]
        assert ours.fingerprint == theirs["fingerprint"] == fingerprint(ours.labels)
        assert (ours.ends_at is None) == (theirs["endsAt"].startswith("0001"))
        assert ours.starts_at.tzinfo is UTC


@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_the_quick_and_the_close_reading_agree(path: Path) -> None:
    data = path.read_bytes()
    notice = parse("alertmanager", data)
    assert notice == parse_closely("alertmanager", data)
    assert look("alertmanager", data) == Glance(len(notice.alerts), len(notice.quarantined), notice.flags)


def test_a_receiver_is_named_as_in_the_configuration() -> None:
    data = (PAYLOADS / "0.33.1_receiver_name_quotemeta.json").read_bytes()
    assert parse("alertmanager", data).receiver == 'name.with(meta)/é "q"'


def test_nanoseconds_are_cut_off() -> None:
    notice = parse("alertmanager", with_alert(startsAt="2026-11-23T15:25:38.830139999Z"))
    assert notice.alerts[1].starts_at == datetime(2026, 11, 23, 15, 25, 38, 830139, tzinfo=UTC)


def test_other_time_zones_become_utc() -> None:
    notice = parse("alertmanager", with_alert(startsAt="2026-11-23T15:25:38+02:00", endsAt="0001-01-01T00:00:00+00:00"))
    assert notice.alerts[1].starts_at == datetime(2026, 11, 23, 13, 25, 38, tzinfo=UTC)
    assert notice.alerts[1].ends_at is None


@pytest.mark.parametrize("instant", ["2026-01-05t12:00:00z", "2026-01-05T12:00:00z", "2026-01-05 12:00:00.5z"])
def test_instants_may_be_written_in_lower_case(instant: str) -> None:
    notice = parse("alertmanager", body(alerts=[{**alert(), "startsAt": instant}]))
    assert notice.alerts[0].starts_at.replace(microsecond=0) == datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "on fire"}, "status is 'on fire', not firing or resolved"),
        ({"status": None}, "status is missing"),
        ({"labels": {}}, "labels is not a mapping of texts"),
        ({"labels": {"a": ""}}, "no label with a value"),
        ({"labels": {"a": 3}}, "the label 'a' is a number, not a text"),
        ({"labels": {"a": "x" * 70_000}}, "more than 65536"),
        ({"startsAt": None}, "startsAt is missing"),
        ({"startsAt": "yesterday"}, "startsAt is 'yesterday', not an RFC 3339 instant"),
        ({"startsAt": "2026-01-05T12:00:00"}, "startsAt has no time zone"),
        ({"startsAt": "9999-12-31T23:59:59-10:00"}, "not an RFC 3339 instant"),
        ({"endsAt": 12}, "endsAt is a number"),
        ({"endsAt": "1970-01-01T00:00:00Z"}, "it is firing, and its endsAt lies before its startsAt"),
    ],
)
def test_a_poison_alert_leaves_the_good_one_beside_it_alone(changes: JsonObject, reason: str) -> None:
    notice = parse("alertmanager", with_alert(**changes))
    assert [one.labels["alertname"] for one in notice.alerts] == ["HighLatency"]
    assert [one.index for one in notice.quarantined] == [1]
    assert reason in notice.quarantined[0].reason
    glance = look("alertmanager", with_alert(**changes))
    assert glance.alerts + glance.quarantined == 2


@pytest.mark.parametrize("starts_at", ["yesterday", "2026-13-05T12:00:00Z", "0001-01-01T00:00:00Z"])
def test_a_body_whose_instants_cannot_be_read_is_refused_at_the_door(starts_at: str) -> None:
    assert "startsAt" in refused(body(alerts=[{**alert(), "startsAt": starts_at}, {**alert(), "startsAt": "never"}]))


def test_too_many_alerts_are_refused_at_the_door_and_read_behind_it() -> None:
    most = [alert()] * MOST_ALERTS
    assert look("alertmanager", body(alerts=most)) == Glance(MOST_ALERTS)
    more = body(alerts=[*most, alert()])
    with pytest.raises(IntakeError, match=r"holds 50001 alerts, more than 50000; .*`group_by`") as caught:
        look("alertmanager", more)
    assert caught.value.status == 413
    assert len(parse("alertmanager", more).alerts) == MOST_ALERTS + 1, (
        "it may have been accepted before there was a bound"
    )


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ([[]] * MOST_NESTED, f"objects and lists, more than {MOST_NESTED}"),
        ([{}] * MOST_NESTED, f"objects and lists, more than {MOST_NESTED}"),
        ([0] * MOST_VALUES, f"values, more than {MOST_VALUES}"),
    ],
    ids=["lists", "objects", "numbers"],
)
def test_a_body_of_too_many_values_is_refused_before_any_is_built(odd: object, said: str) -> None:
    with pytest.raises(IntakeError, match=said) as caught:
        look("alertmanager", body(odd=odd))
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "faulty",
    [[{"status": "firing"}] * 50_000, [{**alert(), "labels": dict.fromkeys(map(str, range(50_000)), 0)}]],
    ids=["alerts", "labels"],
)
def test_a_body_of_many_faults_takes_no_longer_than_one_of_none(faulty: object) -> None:
    data = body(alerts=faulty)

    def quickest(read: Callable[[bytes], object]) -> float:
        return min(timeit.repeat(lambda: read(data), number=1, repeat=3))

    assert quickest(lambda data: fast.count("4", data)) < 1.4 * quickest(json.loads), "each fault was kept"


@pytest.mark.parametrize("bad", [None, 3, "x", [], True])
def test_what_is_no_alert_at_all_is_set_aside(bad: object) -> None:
    notice = parse("alertmanager", body(alerts=[bad, alert()]))
    assert (len(notice.alerts), notice.quarantined[0].index) == (1, 0)


def test_a_body_of_poison_only_is_refused_with_the_first_reason() -> None:
    assert "alerts[0]: status is missing" in refused(body(alerts=[{"labels": {"a": "b"}}, {}]))


@pytest.mark.parametrize(
    ("data", "flag", "value"),
    [
        (with_alert(labels={"alertname": "a\x00b"}), "nul_replaced", "a�b"),
        (with_alert(labels={"alertname": "QQ"}).replace(b"QQ", b"a\\ud800b"), "surrogate_replaced", "a�b"),
        (with_alert(labels={"alertname": "QQ"}).replace(b"QQ", b"a\xffb"), "utf8_replaced", "a�b"),
        (with_alert(labels={"alertname": "QQ"}).replace(b"QQ", b"a\x01b"), "", "a\x01b"),
        (with_alert(labels={"alertname": "x" * 5000}), "label_cut", "x" * 4095 + "…"),
    ],
)
def test_what_cannot_be_stored_is_mended_and_flagged(data: bytes, flag: str, value: str) -> None:
    notice = parse("alertmanager", data)
    assert notice.alerts[1].labels == {"alertname": value}
    assert flag in (notice.flags or ("",))
    assert bool(alteration(notice.alerts[1].labels)) == bool(flag)
    assert not alteration(notice.alerts[0].labels)


def test_a_surrogate_pair_is_one_character() -> None:
    notice = parse("alertmanager", with_alert(labels={"alertname": "QQ"}).replace(b"QQ", b"\\ud83d\\ude42"))
    assert (notice.alerts[1].labels["alertname"], notice.flags) == ("🙂", ())


@pytest.mark.parametrize("given", [None, "", "xyz", 12, "0123456789ABCDEF"])
def test_a_missing_or_invalid_fingerprint_is_computed(given: object) -> None:
    notice = parse("alertmanager", with_alert(fingerprint=given))
    assert notice.alerts[1].fingerprint == fingerprint(notice.alerts[1].labels)
    assert notice.flags == ("fingerprint_computed",)


def test_two_alerts_that_mending_makes_alike_are_still_two() -> None:
    data = body(alerts=[{**alert(), "labels": {"svc": f"a{sign}b"}, "fingerprint": None} for sign in "\x00\ufffd"])
    one, other = parse("alertmanager", data).alerts
    assert one.labels == other.labels
    assert one.fingerprint != other.fingerprint


def test_an_empty_label_is_the_same_as_none() -> None:
    notice = parse("alertmanager", with_alert(labels={"alertname": "x", "pod": ""}))
    assert notice.alerts[1].labels == {"alertname": "x"}


def test_annotations_never_keep_an_alert_out() -> None:
    notice = parse("alertmanager", with_alert(annotations={"a": 3, "b": "x"}))
    assert (notice.alerts[1].annotations, notice.flags) == ({"b": "x"}, ("annotation_dropped",))


def test_an_endless_group_key_stays_unique_and_fits_an_index() -> None:
    keys = [parse("alertmanager", body(groupKey="ü" * 5000 + end)).group_key for end in "ab"]
    assert keys[0] != keys[1]
    assert len(keys[0].encode()) <= 1024


def test_unknown_keys_are_ignored() -> None:
    assert parse("alertmanager", body(routeLabels={}, future=[{"x": 1e999}])).flags == ()


def test_a_truncated_group_says_how_many_are_missing() -> None:
    assert parse("alertmanager", body(truncatedAlerts=7)).truncated == 7
    assert parse("alertmanager", body(truncatedAlerts="many")).truncated == 0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the body is empty"),
        (b"[]", "the body is a list, not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{", "not JSON at line 1 column 2"),
        (b"alerts=1", "not JSON at line 1 column 1, byte 0: Expecting value"),
        ('{\n"ä": "ö" "x"}'.encode(), "not JSON at line 2 column 10, byte 13: Expecting ',' delimiter"),
        (b"\xff\xfe{", "not JSON at line 1 column 1: Expecting value (nor UTF-8: byte 0)"),
        (b"{}", 'its top level has no "version" and no "alerts", for it is empty'),
        (b'{"version":"4"}', "`alerts` is missing, not a list"),
        (b'{"alerts":[]}', 'its top level has no "version", but "alerts"'),
        (json.dumps({f"k{n}": n for n in range(9)}).encode(), 'but "k0", "k1", "k2" and 6 more'),
        (json.dumps({"n" * 90: 1}).encode(), f'but "{"n" * 20}"; remove'),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b"9" * 100_000, "not a JSON object"),
        (b'{"version":"4","receiver":"r","alerts":' + b"9" * 100_000 + b"}", "`alerts` is a number"),
        (b"NaN", "not a JSON object"),
        (body(version="5"), 'this version of Alertmanager\'s format is not known; version "4" is'),
        (body(version=4), "is not known"),
        (body(version=None), "remove `payload`"),
        (body(version="1", orgId=1), "set `kind: grafana`"),
        (body(alerts={}), "`alerts` is an object, not a list"),
        (body(receiver=None), "`receiver` is not a text"),
        ((PAYLOADS / "0.33.1_custom_payload_template.json").read_bytes(), "remove `payload` from the webhook_config"),
    ],
)
def test_what_cannot_be_accepted_says_what_the_sender_must_change(data: bytes, said: str) -> None:
    assert said in refused(data)


def grafana(**changes: object) -> bytes:
    one = {
        **alert(),
        "startsAt": "2026-01-05T12:00:00.123456789+02:00",
        "silenceURL": "http://g/silence",
        "values": None,
        "valueString": "[ var='A' ]",
        "orgId": 1,
    }
    shape = {**webhook([one]), "version": "1", "orgId": 1, "state": "alerting", "title": "t", "message": "m"}
    return json.dumps({**shape, "groupLabels": {"alertname": "x", "__alert_rule_uid__": "u"}, **changes}).encode()


def test_grafana_is_read_in_its_own_version() -> None:
    notice = parse("grafana", grafana())
    assert notice.alerts[0].starts_at == datetime(2026, 1, 5, 10, 0, 0, 123456, tzinfo=UTC)
    assert notice.group_labels == {"alertname": "x"}
    assert "set `kind: alertmanager`" in refused(body(), "grafana")
    assert 'no "version" and no "alerts", but "text"' in refused(b'{"text": "hello"}', "grafana")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
alert_keys = ["status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"]
odd_alerts = st.dictionaries(st.sampled_from(alert_keys), json_values).map(lambda odd: {**alert(), **odd})
texts = st.dictionaries(st.text(max_size=9), st.text(max_size=30), min_size=1, max_size=4)
fine_alerts = texts.map(alert) | texts.map(lambda labels: resolved(alert(labels)))
top_keys = ["receiver", "version", "groupKey", "groupLabels", "alerts", "externalURL", "truncatedAlerts"]
kinds = st.sampled_from(["alertmanager", "grafana"])


def outcome(kind: Kind, data: bytes) -> Notice | None:
    try:
        notice = parse(kind, data)
    except IntakeError as error:
        with pytest.raises(IntakeError, match=re.escape(str(error))):
            look(kind, data)
        return None
    glance = look(kind, data)
    assert glance.alerts + glance.quarantined == len(notice.alerts) + len(notice.quarantined)
    for one in notice.alerts:
        json.dumps([dict(one.labels), dict(one.annotations), one.generator_url], ensure_ascii=False).encode()
        assert "\x00" not in "".join([*one.labels, *one.labels.values()])
    return notice


@pytest.mark.promise(3)
@given(kinds, st.binary())
def test_any_bytes_lead_to_a_notice_or_a_refusal(kind: Kind, data: bytes) -> None:
    outcome(kind, data)


@given(kinds, json_values)
def test_any_json_leads_to_a_notice_or_a_refusal(kind: Kind, data: object) -> None:
    outcome(kind, json.dumps(data).encode())


@given(kinds, st.dictionaries(st.sampled_from(top_keys), json_values))
def test_any_change_at_the_top_leads_to_a_notice_or_a_refusal(kind: Kind, odd: JsonObject) -> None:
    outcome(kind, body(**{**odd, "version": "4"}))


@pytest.mark.promise(3)
@given(st.lists(fine_alerts | odd_alerts, max_size=4))
def test_good_alerts_come_through_whatever_is_beside_them(mixed: list[JsonObject]) -> None:
    fine = alert(here="yes")
    notice = outcome("alertmanager", json.dumps(webhook([fine]) | {"alerts": [*mixed, fine]}).encode())
    assert notice is not None
    assert notice.alerts[-1].labels == fine["labels"]
    assert len(notice.alerts) + len(notice.quarantined) == len(mixed) + 1


@given(st.lists(fine_alerts, min_size=1, max_size=4))
def test_both_ways_of_reading_agree_on_any_alerts(alerts: list[JsonObject]) -> None:
    data = json.dumps(webhook([]) | {"alerts": alerts}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    notice = parse("alertmanager", data)
    assert notice == parse_closely("alertmanager", data)
    assert look("alertmanager", data) == Glance(len(notice.alerts), len(notice.quarantined), notice.flags)
