"""Webhooks: who may send, what is accepted, and that every trap is answered while the process lives."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Mapping

import pytest

from responder.domain.errors import StoreError, Unavailable
from responder.intake.bounds import MOST_ALERTS
from responder.intake.buffer import ByteBudget
from responder.web.parts import Bounds
from tests.bed.alerts import alert, webhook
from tests.bed.waiting import eventually
from tests.unit.web.conftest import AM_TOKEN, HMAC_SECRET, Bed, Call, raw

BODY = json.dumps(webhook([alert(), alert(pod="a")])).encode()
GRAFANA = json.dumps({**webhook(), "version": "1", "orgId": 1}).encode()


async def deliveries(bed: Bed) -> list[tuple[str, bytes]]:
    """Return what is durable: claimed as decide does it."""
    return [(one.source, one.body) for one in await bed.store.claim_deliveries(100)]


@pytest.mark.promise(1)
async def test_a_2xx_answer_means_stored(call: Call, bed: Bed) -> None:
    answer = await call("POST", "/webhook/am", token=AM_TOKEN, data=BODY)
    assert answer.status == 200
    assert answer.text.startswith("accepted ")
    assert await deliveries(bed) == [("am", BODY)]
    assert bed.of("delivery")[0]["alerts"] == 2


async def test_repeats_are_real_and_all_stored(call: Call, bed: Bed) -> None:
    await asyncio.gather(*(call("POST", "/webhook/am", token=AM_TOKEN, data=BODY) for _ in range(20)))
    assert len(await deliveries(bed)) == 20


@pytest.mark.parametrize(
    ("source", "authorization"),
    [
        ("am", f"Bearer {AM_TOKEN}"),
        ("am", f"bearer  {AM_TOKEN}"),
        ("custom", f"Token {AM_TOKEN}"),
        ("basic", "Basic dTpwIHc="),
    ],
)
async def test_each_kind_of_credentials_is_taken(call: Call, source: str, authorization: str) -> None:
    answer = await call("POST", f"/webhook/{source}", data=BODY, headers={"Authorization": authorization})
    assert answer.status == 200


@pytest.mark.parametrize(
    ("source", "headers", "said"),
    [
        ("am", {}, "missing credentials; set authorization in the sender's http_config"),
        ("am", {"Authorization": "Bearer wrong"}, "wrong credentials"),
        ("am", {"Authorization": AM_TOKEN}, "wrong credentials"),
        ("am", {"Authorization": f"Token {AM_TOKEN}"}, "wrong credentials"),
        ("custom", {"Authorization": f"Bearer {AM_TOKEN}"}, "wrong credentials"),
        ("basic", {"Authorization": "Basic dTp3cm9uZw=="}, "wrong credentials; set basic_auth"),
        ("basic", {"Authorization": "Basic !!!"}, "wrong credentials"),
        ("basic", {"Authorization": "Bearer dTpwIHc="}, "wrong credentials"),
        ("mtls", {}, "a client certificate is needed"),
        ("grafana", {}, "the header X-Grafana-Alerting-Signature is missing"),
    ],
)
async def test_wrong_credentials_are_refused(
    call: Call, bed: Bed, source: str, headers: Mapping[str, str], said: str
) -> None:
    body = GRAFANA if source == "grafana" else BODY
    answer = await call("POST", f"/webhook/{source}", data=body, headers=headers)
    assert (answer.status, said in answer.text) == (401, True), answer.text
    assert await deliveries(bed) == []
    assert bed.of("delivery_refused")[0]["result"] == "unauthorized"


async def test_an_unknown_source_is_404_and_does_not_become_a_metric_label(call: Call, bed: Bed) -> None:
    answer = await call("POST", "/webhook/typo", token=AM_TOKEN, data=BODY)
    assert (answer.status, answer.text[:29]) == (404, "there is no source 'typo'; ad")
    assert bed.of("delivery_refused")[0]["source"] == "(unknown)"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PATCH", "PUT"])
async def test_other_methods_are_405_and_never_a_redirect(call: Call, method: str) -> None:
    answer = await call(method, "/webhook/am", token=AM_TOKEN)
    assert (answer.status, "POST" in answer.headers["Allow"]) == (405, True)


@pytest.mark.parametrize("path", ["/webhook/am/", "/webhook//am", "/webhook/", "/webhook", "/"])
async def test_a_path_that_is_nearly_right_is_not_redirected(call: Call, path: str) -> None:
    assert (await call("POST", path, token=AM_TOKEN, data=BODY)).status == 404


def signature(body: bytes, stamp: str = "") -> str:
    signed = f"{stamp}:".encode() + body if stamp else body
    return hmac.new(HMAC_SECRET.encode(), signed, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_grafanas_signature_is_taken(call: Call, method: str) -> None:
    headers = {"X-Grafana-Alerting-Signature": signature(GRAFANA)}
    assert (await call(method, "/webhook/grafana", data=GRAFANA, headers=headers)).status == 200


async def test_a_signature_of_another_body_is_refused(call: Call, bed: Bed) -> None:
    headers = {"X-Grafana-Alerting-Signature": signature(GRAFANA)}
    answer = await call("POST", "/webhook/grafana", data=GRAFANA + b" ", headers=headers)
    assert (answer.status, "the signature is wrong" in answer.text) == (401, True)
    assert await deliveries(bed) == []


@pytest.mark.parametrize(
    ("shift", "said"),
    [(0, "accepted"), (-200, "accepted"), (200, "accepted"), (-400, "stale"), (400, "stale")],
)
async def test_a_signature_is_good_for_some_minutes(call: Call, shift: int, said: str) -> None:
    stamp = str(int(time.time()) + shift)
    headers = {"X-Grafana-Alerting-Signature": signature(GRAFANA, stamp), "X-Stamp": stamp}
    answer = await call("POST", "/webhook/stamped", data=GRAFANA, headers=headers)
    assert said in answer.text


@pytest.mark.parametrize("stamp", ["", "soon", "-1", "1e9", "\uff19\uff19", "9" * 30])
async def test_a_signature_without_its_time_is_refused(call: Call, stamp: str) -> None:
    headers = {"X-Grafana-Alerting-Signature": signature(GRAFANA), "X-Stamp": stamp}
    assert (await call("POST", "/webhook/stamped", data=GRAFANA, headers=headers)).status == 401


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[" * 300_000,
        b'{"a":' * 300_000,
        b"9" * 1_000_000,
        b"\x00" * 1000,
        b"\xff\xfe" * 1000,
        json.dumps(webhook() | {"alerts": [{}] * 1000}).encode(),
        json.dumps(webhook() | {"version": "9"}).encode(),
        BODY.decode().encode("utf-16"),
    ],
    ids=lambda data: repr(data[:12]),
)
async def test_what_cannot_be_read_is_400_with_a_short_reason(call: Call, bed: Bed, data: bytes) -> None:
    answer = await call("POST", "/webhook/am", token=AM_TOKEN, data=data)
    assert answer.status == 400
    assert 10 < len(answer.text) < 250
    assert await deliveries(bed) == []
    assert (await call("POST", "/webhook/am", token=AM_TOKEN, data=BODY)).status == 200


async def test_ten_megabytes_are_a_large_group_and_welcome(call: Call, bed: Bed) -> None:
    data = json.dumps(webhook([alert(pod=str(n), note="x" * 400) for n in range(15_000)])).encode()
    assert len(data) > 10_000_000
    assert (await call("POST", "/webhook/am", token=AM_TOKEN, data=data)).status == 200
    assert bed.of("delivery")[0]["alerts"] == 15_000


async def test_more_than_32_megabytes_are_413(call: Call, bed: Bed) -> None:
    answer = await call("POST", "/webhook/am", token=AM_TOKEN, data=b" " * (32 * 1024 * 1024 + 1))
    assert (answer.status, "larger than 33554432 bytes" in answer.text) == (413, True)
    assert bed.budget.used == 0


async def test_more_than_fifty_thousand_alerts_are_413_and_counted_as_too_large(call: Call, bed: Bed) -> None:
    data = json.dumps(webhook([]) | {"alerts": [alert()] * (MOST_ALERTS + 1)}).encode()
    answer = await call("POST", "/webhook/am", token=AM_TOKEN, data=data)
    assert answer.status == 413
    assert "the body holds 50001 alerts, more than 50000; use more labels in `group_by`" in answer.text
    assert [one["result"] for one in bed.of("delivery_refused")] == ["too_large"]
    assert (await deliveries(bed), bed.budget.used) == ([], 0)


async def test_a_body_without_a_length_is_bounded_too(bed: Bed) -> None:
    bed.bounds = Bounds(webhook_bytes=1000)
    chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
    async with bed.serving() as port:
        head = f"POST /webhook/am HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {AM_TOKEN}\r\n"
        answer = await raw(port, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 3)
    assert answer.startswith(b"HTTP/1.1 413")


async def test_a_compressed_bomb_is_not_unpacked(call: Call) -> None:
    answer = await call("POST", "/webhook/am", token=AM_TOKEN, data=b"x", headers={"Content-Encoding": "gzip"})
    assert answer.status == 415


async def test_wrong_credentials_are_answered_before_the_body_is_read(port: int) -> None:
    head = b"POST /webhook/am HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\n"
    started = time.monotonic()
    assert (await raw(port, head)).startswith(b"HTTP/1.1 401")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("sent", [b"", b"POST /webhook/am HT", b"POST /webhook/am HTTP/1.1\r\nX-A: b\r\n"])
async def test_slow_headers_are_408_within_a_second_of_the_deadline(bed: Bed, sent: bytes) -> None:
    bed.bounds = Bounds(headers_seconds=0.2)
    async with bed.serving() as port:
        started = time.monotonic()
        answer = await raw(port, sent)
        assert answer.startswith(b"HTTP/1.1 408")
        assert 0.2 <= time.monotonic() - started < 1.2


async def test_headers_that_trickle_do_not_move_the_deadline(bed: Bed) -> None:
    bed.bounds = Bounds(headers_seconds=0.3)
    async with bed.serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        started = time.monotonic()
        writer.write(b"GET /-/healthy HTTP/1.1\r\n")
        reading = asyncio.create_task(reader.read())
        while not reading.done() and time.monotonic() - started < 5:
            writer.write(b"X-A: b\r\n")
            await asyncio.wait([reading], timeout=0.05)
        async with asyncio.timeout(1):
            assert (await reading).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - started < 1.3
        writer.close()


async def test_an_idle_connection_of_alertmanager_stays_and_its_next_slow_headers_do_not(bed: Bed) -> None:
    bed.bounds = Bounds(headers_seconds=0.2)
    async with bed.serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"OK\n")).startswith(b"HTTP/1.1 200")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6):
                await reader.read()
        writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"OK\n")).startswith(b"HTTP/1.1 200")
        writer.write(b"GET /-/heal")
        async with asyncio.timeout(1.2):
            assert (await reader.read()).startswith(b"HTTP/1.1 408")
        writer.close()


@pytest.mark.promise(3)
async def test_a_slow_body_is_408_within_a_second_of_the_deadline(bed: Bed) -> None:
    bed.bounds = Bounds(body_seconds=0.3)
    async with bed.serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            f"POST /webhook/am HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {AM_TOKEN}\r\nContent-Length: 1000\r\n\r\n"
        )
        writer.write(head.encode())
        started = time.monotonic()
        first = asyncio.create_task(reader.readuntil(b"\r\n"))
        while not first.done() and time.monotonic() - started < 5:
            writer.write(b" ")
            await asyncio.wait([first], timeout=0.05)
        assert b"408" in await first
        assert 0.3 <= time.monotonic() - started < 1.3
        writer.close()
    assert bed.of("delivery_refused")[0]["result"] == "timeout"
    assert bed.budget.used == 0


async def test_a_sender_that_hangs_up_in_the_middle_leaves_nothing_behind(bed: Bed, port: int) -> None:
    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /webhook/am HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {AM_TOKEN}\r\nContent-Length: 1000\r\n\r\n"
    writer.write(head.encode() + b" " * 500)
    await writer.drain()
    await eventually(lambda: bed.budget.used > 0)
    writer.close()
    await eventually(lambda: bed.budget.used == 0)
    assert await deliveries(bed) == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /webhook/am HTTP/1.1\r\nA" * 9000,
    ],
)
async def test_what_is_no_http_does_no_harm(port: int, call: Call, garbage: bytes) -> None:
    await asyncio.wait([asyncio.create_task(raw(port, garbage, 0.5))])
    assert (await call("GET", "/-/healthy")).status == 200


@pytest.mark.promise(11)
@pytest.mark.parametrize("error", [Unavailable("down"), Unavailable("disk is full"), RuntimeError("a fault of ours")])
async def test_a_store_that_fails_is_503_and_nothing_acknowledged_is_lost(
    call: Call, bed: Bed, error: Exception
) -> None:
    assert (await call("POST", "/webhook/am", token=AM_TOKEN, data=BODY)).status == 200
    bed.inbox.error = error
    answers = await asyncio.gather(*(call("POST", "/webhook/am", token=AM_TOKEN, data=BODY) for _ in range(5)))
    assert {answer.status for answer in answers} == {503}
    assert {answer.headers["Retry-After"] for answer in answers} == {"5"}
    bed.inbox.error = None
    assert (await call("POST", "/webhook/am", token=AM_TOKEN, data=BODY)).status == 200
    assert len(await deliveries(bed)) == 2
    assert [one["result"] for one in bed.of("delivery_refused")] == ["unavailable"] * 5


async def test_a_body_that_the_store_cannot_keep_is_not_sent_again_and_again(call: Call, bed: Bed) -> None:
    bed.inbox.error = StoreError("value out of range")
    assert (await call("POST", "/webhook/am", token=AM_TOKEN, data=BODY)).status == 400


async def test_too_many_bytes_at_once_are_503(bed: Bed) -> None:
    bed.budget = ByteBudget(len(BODY) - 1)
    async with bed.serving() as port:
        head = f"POST /webhook/am HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {AM_TOKEN}\r\n"
        answer = await raw(port, f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
    assert answer.startswith(b"HTTP/1.1 503")
    assert bed.budget.used == 0


async def test_stopping_answers_what_is_under_way(bed: Bed) -> None:
    async with bed.serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /webhook/am HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {AM_TOKEN}\r\n"
        writer.write(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY[:10])
        await eventually(lambda: bed.budget.used > 0)

        async def finish() -> bytes:
            writer.write(BODY[10:])
            return await reader.read()

        finishing = asyncio.create_task(finish())
    assert (await finishing).startswith(b"HTTP/1.1 200")
    writer.close()
    assert len(await deliveries(bed)) == 1
