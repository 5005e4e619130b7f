"""Where text from outside is read: how to make some for each place, and what must be true of the answer."""

import functools
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from responder.app import catalogue
from responder.domain.errors import IntakeError
from responder.intake import fast, formats
from responder.language.matchers import parse_matcher, parse_matchers
from responder.language.templates import Place, Template, TemplateError, UnsafeValue
from responder.playbook.schema import examine
from responder.ports.catalogue import Catalogue
from tests.bed.alerts import alert, resolved, webhook

ROOT = Path(__file__).parents[2]
Make = Callable[[random.Random], bytes]


@dataclass(frozen=True, slots=True)
class Surface:
    """One place: ``make`` draws an input, ``read`` raises whatever should not come out."""

    make: Make
    read: Callable[[bytes], None]


def _check(true: bool, what: str) -> None:  # noqa: FBT001 -- an assertion that no optimisation takes out
    if not true:
        raise AssertionError(what)


# --- making -------------------------------------------------------------------------------------------------------

_NASTY = (
    b"\x00", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"1e999", b"-0", b"NaN", b"null", b"[]", b"{}", b'""',
    b"true", b"9" * 400, b"[" * 200, b'{"a":' * 100, b"\xe2\x80\xa8", b"\xf0\x9f\x94\xa5", b'"', b"\\", b",", b":",
    b"0001-01-01T00:00:00Z", b"9999-99-99T99:99:99Z", b"2026-02-30T00:00:00+99:99", b"\xef\xbb\xbf",
)  # fmt: skip


def mutated(draw: random.Random, seed: bytes, tokens: Sequence[bytes] = _NASTY) -> bytes:
    """Change a valid input in a few places."""
    data = bytearray(seed)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        at = draw.randrange(len(data) + 1)
        to = min(len(data), at + draw.choice((1, 1, 2, 5, 20, 100)))
        match draw.randrange(6):
            case 0:
                data[at:at] = draw.choice(tokens)
            case 1:
                data[at:to] = draw.choice(tokens)
            case 2:
                del data[at:to]
            case 3:
                data[at:at] = data[at:to] * draw.choice((1, 2, 9))
            case 4:
                data[at:to] = draw.randbytes(to - at)
            case _:
                other = draw.randrange(len(data) + 1)
                data[other:other] = data[at:to]
    return bytes(data)


@functools.cache
def _bodies() -> tuple[bytes, ...]:
    firing = alert(severity="critical", annotations={"summary": "It is slow."})
    bodies = [
        webhook(),
        webhook(
            [firing, resolved(alert(instance="a:1")), alert(job="x", instance="ünï")], group_by=["alertname", "job"]
        ),
        webhook([alert(pod=f"p-{number}") for number in range(5)], max_alerts=3),
        {**webhook([firing]), "version": "1", "orgId": 1, "state": "alerting", "title": "t", "message": "m"},
    ]
    given = sorted((ROOT / "tests" / "payloads").rglob("*.json"))
    return tuple(json.dumps(body).encode() for body in bodies) + tuple(path.read_bytes() for path in given[:20])


def webhook_body(draw: random.Random) -> bytes:
    """Draw the body of a webhook."""
    return mutated(draw, draw.choice(_bodies()))


_YAML = tuple(
    piece.encode()
    for piece in (
        *(
            "- ",
            "? ",
            ": ",
            "\n",
            "\n  ",
            "\n    ",
            "\t",
            "'",
            '"',
            "|",
            ">",
            "&a ",
            "*a",
            "!!python/object:os.system ",
        ),
        *("<<: ", "{{ ", " }}", "{{ labels.x }}", "---", "...", "#", "%", "yes", "off", "0o7", "1_000", ".nan", "~"),
        *("within: 5m", "mode: auto", "set: {a: {by: 1}}", "target: http/x/y", "[" * 50, "{a: " * 50, "1e400", "0x1f"),
        *("999999999999999999h", "-5m", "150%", "\x85", "\u2028", "日", "steps: []", "verify: ", "undo: never"),
    )
)


@functools.cache
def _playbooks() -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted((ROOT / "playbooks").glob("*.yaml")))


def playbook_file(draw: random.Random) -> bytes:
    """Draw a playbook."""
    return mutated(draw, draw.choice(_playbooks()), _YAML)


_PIECES = (
    *("{{ ", " }}", "{{", "}}", "labels.x", "labels", "annotations.y", "steps.a.before", ".", "[", "]", '"x"', "|"),
    *(" default(", ")", "upper", "lower", "replace(", "host", "port", "{%", "{{-", "$labels.x", "-", "(", "\n", "'"),
    *("{{ labels.x }}", "{{ labels['x'] | upper }}", '{{ labels.x | default("a") }}', "日", "\x00", "\ud800", "%", "/"),
    *("m{a=", '"', "}", "rate(", "[5m]", "SELECT ", ";", "..", "?", "#"),
)


def template_text(draw: random.Random) -> bytes:
    """Draw a template and, after a NUL, a value for its label."""
    text = "".join(draw.choices(_PIECES, k=draw.randrange(12)))
    value = "".join(draw.choices(_PIECES, k=draw.randrange(4)))
    return f"{text}\x00{value}".encode("utf-8", "surrogatepass")


_SIGNS = (
    *("a", "alertname", "=", "=~", "!=", "!~", "~", "!", "{", "}", ",", '"', "\\", " ", "\n", "'", "`", ".", "*", "+"),
    *("(", ")", "[", "]", "|", "?", "^", "$", "日", 'a="b"', 'a=~"b.*"', "severity!~'x|y'", "{7}", "{1,999}", "(?i)"),
    *("\\p{L}", "[^a]", "(a|b)*", "\x00", "\ud800", '=""', "(?P<n>a)", "(?=a)", "\\1", "x" * 300),
)


_NAMES = ("a", "alertname", "severity", '"a b"', "日")
_OPERATORS = ("=", "=~", "!=", "!~", " = ")
_SIGN_BYTES = tuple(sign.encode("utf-8", "surrogatepass") for sign in _SIGNS)


def matchers_text(draw: random.Random) -> bytes:
    """Draw matchers, every other time some that are nearly right."""
    if draw.random() < 0.5:
        pairs = [
            draw.choice(_NAMES)
            + draw.choice(_OPERATORS)
            + json.dumps("".join(draw.choices(_SIGNS[:-9], k=draw.randrange(4))))
            for _ in range(draw.randrange(1, 4))
        ]
        return mutated(draw, ",".join(pairs).encode(), _SIGN_BYTES) if draw.random() < 0.5 else ",".join(pairs).encode()
    return "".join(draw.choices(_SIGNS, k=draw.randrange(1, 14))).encode("utf-8", "surrogatepass")


# --- reading ------------------------------------------------------------------------------------------------------

_VERSIONS = {"alertmanager": "4", "grafana": "1"}
_KINDS: tuple[formats.Kind, ...] = ("alertmanager", "grafana")


def read_webhook(data: bytes) -> None:
    """A body is read or refused with a reason; the door and deciding agree, the short way and the long one as well."""
    for kind in _KINDS:
        try:
            glance = formats.look(kind, data)
        except IntakeError as error:
            _check(bool(str(error)), "a refusal without a reason")
            glance = None
        try:
            notice = formats.parse(kind, data)
        except IntakeError:
            _check(glance is None, f"{kind}: the door took what cannot be decided")
            continue
        _check(glance is not None, f"{kind}: the door refused what can be read")
        quick = fast.read(_VERSIONS[kind], data)
        if quick is not None:
            _check(quick == formats.parse_closely(kind, data), f"{kind}: the short way reads something else")
        _check(all(one.fingerprint for one in notice.alerts), f"{kind}: an alert without a fingerprint")


_YAML_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # YAML 1.1, 5.4


@functools.cache
def _catalogue() -> Catalogue:
    return catalogue()


def read_playbook(data: bytes) -> None:
    """A playbook loads, or every complaint says what, and where in the file."""
    playbook, complaints = examine(data, "f.yaml", _catalogue(), None)
    lines = 1 + len(_YAML_BREAK.findall(data.decode("utf-8", "replace")))
    for complaint in complaints:
        _check(bool(complaint.message and complaint.rule), "a complaint without words")
        _check(1 <= complaint.line <= lines and complaint.column >= 1, f"a place outside the file: {complaint}")
    _check(playbook is not None or bool(complaints), "nothing loaded and nothing said")


def read_template(data: bytes) -> None:
    """A template is read or refused at a place; what it renders in the open holds its value as it is."""
    text, _, value = data.decode("utf-8", "surrogatepass").rpartition("\x00")
    try:
        template = Template.parse(text)
    except TemplateError as error:
        _check(0 <= error.offset <= len(text), "a place outside the template")
        return
    _check(str(template) == text, "a template that writes something else than it read")
    names = {"labels": {"x": value}, "annotations": {"y": value}, "steps": {"a": {"before": {"n": 1}}}}
    for place in Place:
        try:
            template.render(names, place)
        except (UnsafeValue, ValueError):  # a value that this place cannot take, or one that is not there
            continue


def read_matchers(data: bytes) -> None:
    """Matchers are read or refused, mean the same when written down again, and answer for any labels."""
    text = data.decode("utf-8", "replace")
    try:
        found = parse_matchers(text)
    except ValueError as error:
        _check(bool(str(error)), "a refusal without a reason")
        return
    for matcher in found:
        _check(parse_matcher(str(matcher)) == matcher, f"{matcher} is not read back")
        for value in ("", "b", "x\ny", text[:200]):
            matcher.matches({"a": value, "alertname": value})
