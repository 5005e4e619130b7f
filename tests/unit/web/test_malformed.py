"""What is no HTTP, as a port scanner sends it: a short answer, one line, never a traceback."""

import logging

import pytest

from responder.web.malformed import LINES, SECONDS, Malformed
from tests.unit.web.conftest import Bed, raw

BAD = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "negative-length": b"POST /webhook/am HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "great-header": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 2_000_000 + b"\r\n\r\n",
    "nul-in-path": b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "password": b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization\x00: Bearer planted-password\r\n\r\n",
}
CHUNK = b"POST /webhook/am HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\nabc\r\n0\r\n\r\n"


@pytest.mark.parametrize("kind", BAD)
async def test_a_malformed_request_is_answered_shortly_and_told_once(
    bed: Bed, port: int, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level(logging.WARNING)
    try:
        answer = await raw(port, BAD[kind])
    except ConnectionError:  # the rest of a great header meets a closed connection
        answer = b"HTTP/1.1 400 "
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"planted-password" not in answer
    (told,) = bed.of("malformed_request")
    assert told["remote"] == "127.0.0.1"
    assert "planted-password" not in str(told)
    assert caplog.records == []


async def test_a_broken_chunk_leaves_no_traceback(bed: Bed, port: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    answer = await raw(port, CHUNK)
    assert answer.split()[1] in (b"400", b"401")
    assert caplog.records == []


def test_a_port_scanner_fills_no_log() -> None:
    facts: list[dict[str, object]] = []
    now = [0.0]
    malformed = Malformed(lambda _name, /, **fields: facts.append(fields), lambda: now[0])
    for _ in range(1000):
        malformed.note("10.0.0.1", ValueError("secret"))
    assert len(facts) == 1000  # each is counted
    assert len([one for one in facts if one.get("logged", True)]) == LINES
    now[0] = SECONDS
    malformed.note("10.0.0.1", ValueError("secret"))
    assert facts[-1] == {"remote": "10.0.0.1", "reason": "ValueError", "left_out": 1000 - LINES}
