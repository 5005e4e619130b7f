"""One send per call, to this service only, and an error that says whether anything happened."""

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDictProxy
from yarl import URL

from responder.clients.http import MAX_ANSWER_BYTES, HttpClient
from responder.domain.errors import Permanent, StepError, Temporary, Uncertain
from responder.language.templates import Place, Template
from tests.bed import ledger
from tests.bed.processes import free_port
from tests.bed.proxy import Mode, proxied
from tests.bed.target_peer import Target
from tests.bed.web import cut, serving

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
SOON = timedelta(seconds=10)


@dataclass
class Peer:
    """A service that answers as told and remembers the request targets and headers it saw."""

    answer: Answer
    url: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    headers: list[CIMultiDictProxy[str]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.seen.append((request.method, request.raw_path))
        self.headers.append(request.headers)
        return await self.answer(request)


@asynccontextmanager
async def peer(answer: Answer) -> AsyncIterator[Peer]:
    running = Peer(answer)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", running.handle)
    async with serving(app) as running.url:
        yield running


@asynccontextmanager
async def client(
    url: str, *allow: str, headers: Mapping[str, str] | None = None, within: timedelta = SOON, proxy: str | None = None
) -> AsyncIterator[HttpClient]:
    one = HttpClient("shop", url, allow or ("* /*",), headers=headers, timeout=within, proxy=proxy)
    try:
        yield one
    finally:
        await one.close()


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """Give the TLS of a server that signed its certificate itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make certificates")
    asked = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(["openssl", *asked.split(), *files], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


def says(status: int, body: str = "{}", headers: Mapping[str, str] | None = None) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body, headers=headers)

    return answer


async def cuts(request: web.Request) -> web.StreamResponse:
    return cut(request)


async def hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def failing(one: HttpClient, method: str = "PUT", path: str = "/a", **more: object) -> StepError:
    with pytest.raises(StepError) as raised:
        await one.call(method, path, None if method == "GET" else {"a": 1}, **more)  # type: ignore[arg-type]  # headers
    return raised.value


# --- once -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST", "DELETE"])
async def test_a_change_whose_connection_is_cut_is_sent_once_and_uncertain(method: str) -> None:
    async with peer(cuts) as shop, client(shop.url) as one:
        assert isinstance(await failing(one, method), Uncertain)
        assert shop.seen == [(method, "/a")]


async def test_a_change_that_is_applied_before_the_cut_is_in_the_book_once(target: Target) -> None:
    target.fault("lost_reply")
    async with client(target.url) as one:
        with pytest.raises(Uncertain):
            await one.call("PUT", "/admin/workers", {"workers": 5})
    assert len(ledger.effects(target.ledger.entries)) == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
async def test_a_kept_connection_that_breaks_does_not_cause_a_second_send(method: str) -> None:
    async def second_is_cut(request: web.Request) -> web.StreamResponse:
        return web.json_response({}) if request.raw_path == "/first" else cut(request)

    async with peer(second_is_cut) as shop, client(shop.url) as one:
        await one.call("GET", "/first")
        assert isinstance(await failing(one, method), Uncertain)
        assert shop.seen == [("GET", "/first"), (method, "/a")]


async def test_a_read_is_not_repeated_behind_our_back_either() -> None:
    async with peer(cuts) as shop, client(shop.url) as one:
        assert isinstance(await failing(one, "GET"), Temporary)
        assert shop.seen == [("GET", "/a")]


# --- nowhere else ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_redirect_is_refused_and_the_other_host_sees_nothing(status: int, method: str) -> None:
    async with (
        peer(says(200)) as other,
        peer(says(status, headers={"Location": f"{other.url}/a"})) as shop,
        client(shop.url, headers={"Authorization": "Bearer planted"}) as one,
    ):
        assert isinstance(await failing(one, method), Permanent)
        assert len(shop.seen) == 1
        assert other.seen == []


TRICKS = [
    "",
    "admin/secret",
    "//evil.example/admin/a",
    "///evil.example",
    "/%2fevil.example",
    "http://evil.example/admin/a",
    "@evil.example/admin/a",
    "/admin/../secret",
    "/admin/%2e%2e/secret",
    "/admin/%2E./secret",
    "/admin/.%2e/secret",
    "/admin/%252e%252e/secret",
    "/admin/%25252e%25252e/secret",
    "/admin/..;/secret",
    "/admin/..;v=1/secret",
    "/admin/%2e%2e%3b/secret",
    "/admin%2f..%2fsecret",
    "/admin/..",
    "/admin/./../secret",
    "/admin/./secret",
    "/admin/..\\secret",
    "/admin\\..\\secret",
    "/admin/..%5csecret",
    "/admin/%5c%2e%2e%5csecret",
    "/admin/a#/../../secret",
    "/admin/a#b",
    "/admin/a?x=\r\nX-Evil: 1",
    "/admin/a\r\nX-Evil: 1",
    "/admin/a\nGET /secret HTTP/1.1",
    "/admin/a%0d%0aX-Evil:%201",
    "/admin/a\tb",
    "/admin/\x00",
    "/admin/%00",
    "/adm\nin/a",
    "/secret?x=/admin/a",
    "/secret;/admin/a",
    "/secret",
    "/ADMIN/a",
]


@pytest.mark.parametrize("path", TRICKS)
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_path_that_leaves_the_allow_list_is_refused_before_it_is_sent(path: str, method: str) -> None:
    async with peer(says(200)) as shop, client(shop.url, "* /admin/*") as one:
        assert isinstance(await failing(one, method, path), Permanent)
        assert shop.seen == []


@pytest.mark.parametrize(
    ("path", "arrives"),
    [
        ("/admin/a", "/admin/a"),
        ("/admin/a?x=1&y=..%2f", "/admin/a?x=1&y=../"),
        ("/admin/a?next=http://evil.example", "/admin/a?next=http://evil.example"),
        ("/admin/%2F", "/admin/%2F"),  # RabbitMQ's default vhost
        ("/admin/a@b", "/admin/a@b"),
        ("/admin/a..b", "/admin/a..b"),
        ("/admin/...", "/admin/..."),
        ("/admin/100%25", "/admin/100%25"),
        ("/admin/ä b", "/admin/%C3%A4%20b"),
    ],
)
async def test_what_is_allowed_arrives_as_it_was_written(path: str, arrives: str) -> None:
    async with peer(says(200)) as shop, client(shop.url, "* /admin/*") as one:
        await one.call("PUT", path, {})
        assert shop.seen == [("PUT", arrives)]


@given(path=st.text(alphabet=st.sampled_from("/.%2eEfF5cC;@:?#\\ \r\nab"), max_size=24).map(lambda text: f"/ok/{text}"))
def test_whatever_passes_the_list_stays_below_its_folder(path: str) -> None:
    one = HttpClient("shop", "http://shop.invalid:1", ("GET /ok/*",))
    try:
        address = one._address("GET", path)
    except Permanent:
        return
    sent = URL(address)
    assert (sent.host, sent.port, sent.scheme, sent.user) == ("shop.invalid", 1, "http", None)
    assert sent.path.startswith("/ok/")
    assert not {".", ".."}.intersection(sent.path.split("/"))


HOSTILE = st.text(max_size=20) | st.sampled_from(["../secret", "..", "//evil", "a/b", "a?b#c", "\r\nX: 1", "a\\..\\b"])


@given(value=HOSTILE)
def test_a_label_in_a_path_cannot_leave_its_segment(value: str) -> None:
    try:
        path = Template.parse("/ok/{{ labels.item }}/end").render({"labels": {"item": value}}, Place.URL_PATH)
    except ValueError:
        return
    try:
        address = HttpClient("shop", "http://shop.invalid", ("* /ok/*/end",))._address("PUT", path)
    except Permanent:
        return
    assert len(URL(address).raw_path.split("/")) == 4
    assert URL(address).raw_query_string == ""


async def test_the_allow_list_holds_methods_apart() -> None:
    async with peer(says(200)) as shop, client(shop.url, "GET /a", "patch /b/*") as one:
        assert isinstance(await failing(one, "PUT", "/a"), Permanent)
        assert isinstance(await failing(one, "GET", "/b/1"), Permanent)
        await one.call("GET", "/a")
        await one.call("PATCH", "/b/1", {})
        assert shop.seen == [("GET", "/a"), ("PATCH", "/b/1")]


async def test_an_empty_allow_list_allows_nothing() -> None:
    one = HttpClient("shop", "http://shop.invalid", ())
    refused = await failing(one, "GET")
    assert isinstance(refused, Permanent)
    assert "allow list" in str(refused)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1\r\nX-Evil: 1"},
        {"X-A": "1\nX-Evil: 1"},
        {"X-A": "\x00"},
        {"X-A\r\nX-Evil": "1"},
        {"X A": "1"},
        {"": "1"},
        {"X-A": "\ud800"},
    ],
)
async def test_a_header_that_would_break_the_request_is_refused_before_it_is_sent(headers: dict[str, str]) -> None:
    async with peer(says(200)) as shop, client(shop.url) as one:
        assert isinstance(await failing(one, headers=headers), Permanent)
        assert shop.seen == []


async def test_a_header_is_sent_once_whatever_its_case() -> None:
    async with peer(says(200)) as shop, client(shop.url, headers={"x-team": "shop"}) as one:
        await one.call("PUT", "/a", {}, {"X-TEAM": "other", "If-Match": '"1"'})
        [seen] = shop.headers
        assert seen.getall("X-Team") == ["other"]
        assert seen["If-Match"] == '"1"'


async def test_no_cookie_is_kept_between_calls() -> None:
    async with peer(says(200, headers={"Set-Cookie": "session=1; Path=/"})) as shop, client(shop.url) as one:
        await one.call("GET", "/a")
        await one.call("GET", "/a")
        assert all("Cookie" not in seen for seen in shop.headers)


@pytest.mark.parametrize("body", [{"a": float("nan")}, {"a": float("inf")}])
async def test_what_is_not_json_is_not_sent(body: dict[str, float]) -> None:
    async with peer(says(200)) as shop, client(shop.url) as one:
        with pytest.raises(Permanent):
            await one.call("PUT", "/a", body)  # type: ignore[arg-type]  # a dict of floats is JSON
        assert shop.seen == []


# --- what an answer means -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 412, 425, 429])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_refusal_that_may_pass_is_temporary(status: int, method: str) -> None:
    async with peer(says(status)) as shop, client(shop.url) as one:
        error = await failing(one, method)
        assert isinstance(error, Temporary)
        assert error.retry_after is None


@pytest.mark.parametrize(
    ("value", "waits"),
    [
        ("7", 7),
        ("0", 0),
        ("99999999", 3600),
        ("9" * 5000, None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
    ],
)
async def test_retry_after_is_heard_where_it_is_a_number(value: str, waits: int | None) -> None:
    async with peer(says(429, headers={"Retry-After": value})) as shop, client(shop.url) as one:
        error = await failing(one)
        assert isinstance(error, Temporary)
        assert error.retry_after == (None if waits is None else timedelta(seconds=waits))


@pytest.mark.parametrize("status", [300, 304, 400, 401, 403, 404, 405, 410, 415, 422, 451])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_any_other_refusal_is_permanent(status: int, method: str) -> None:
    async with peer(says(status, "" if status == 304 else "{}")) as shop, client(shop.url) as one:
        assert isinstance(await failing(one, method), Permanent)


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 599])
async def test_a_failure_of_the_service_leaves_a_change_in_doubt_and_a_read_repeatable(status: int) -> None:
    async with peer(says(status)) as shop, client(shop.url) as one:
        assert isinstance(await failing(one, "PUT"), Uncertain)
        assert isinstance(await failing(one, "GET"), Temporary)


async def test_a_hang_leaves_a_change_in_doubt_and_a_read_repeatable() -> None:
    async with peer(hangs) as shop, client(shop.url, within=timedelta(seconds=0.2)) as one:
        error = await failing(one, "PUT")
        assert isinstance(error, Uncertain)
        assert str(error).endswith("no answer to PUT: timed out"), "a person reads it, at night"
        assert isinstance(await failing(one, "GET"), Temporary)


async def test_a_body_that_never_ends_is_cut_off_by_the_deadline() -> None:
    async def drips(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{")
        await asyncio.Event().wait()
        raise AssertionError

    async with peer(drips) as shop, client(shop.url, within=timedelta(seconds=0.2)) as one:
        assert isinstance(await failing(one, "PUT"), Uncertain)
        assert isinstance(await failing(one, "GET"), Temporary)


async def test_an_answer_that_is_too_long_is_not_taken() -> None:
    body = json.dumps("x" * MAX_ANSWER_BYTES)
    async with peer(says(200, body)) as shop, client(shop.url, within=timedelta(seconds=5)) as one:
        assert "longer than" in str(await failing(one, "GET"))
        assert isinstance(await failing(one, "PUT"), Uncertain)


async def test_an_answer_that_just_fits_is_taken() -> None:
    text = "x" * (MAX_ANSWER_BYTES - 2)
    async with peer(says(200, json.dumps(text))) as shop, client(shop.url, within=timedelta(seconds=5)) as one:
        assert (await one.call("GET", "/a")).body == text


async def test_a_refusal_stays_one_however_long_its_page_is_or_when_it_breaks_off() -> None:
    async def breaks_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=422, headers={"Content-Length": "9999"})
        await response.prepare(request)
        return cut(request)

    async with peer(says(422, "x" * 2 * MAX_ANSWER_BYTES)) as shop, client(shop.url) as one:
        error = await failing(one)
        assert isinstance(error, Permanent)
        assert len(str(error)) < 300
    async with peer(breaks_off) as shop, client(shop.url) as one:
        assert isinstance(await failing(one), Permanent)


@pytest.mark.parametrize("body", ["<html>", "{", "NaN", '{"a": Infinity}', '{"a": 1e999}', "[" * 100_000, "9" * 5000])
async def test_a_read_that_is_not_json_is_refused_for_good_and_a_change_stands(body: str) -> None:
    async with peer(says(200, body)) as shop, client(shop.url, within=timedelta(seconds=5)) as one:
        assert isinstance(await failing(one, "GET"), Permanent)
        assert (await one.call("PUT", "/a", {})).body is None


async def test_an_empty_answer_is_no_value() -> None:
    async with peer(says(204, "")) as shop, client(shop.url) as one:
        assert (await one.call("GET", "/a")).body is None


async def test_the_etag_comes_with_the_reply() -> None:
    async with peer(says(200, '{"a": 1}', {"ETag": '"7"'})) as shop, client(shop.url) as one:
        reply = await one.call("GET", "/a")
        assert (reply.status, reply.body, reply.etag) == (200, {"a": 1}, '"7"')


async def test_credentials_that_a_service_echoes_are_not_shown() -> None:
    async def echoes(request: web.Request) -> web.StreamResponse:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        text = f"no\x1b[31m {token}\n{dict(request.headers)}"
        return web.Response(status=400, text=text)

    async with peer(echoes) as shop, client(shop.url, headers={"Authorization": "Bearer planted-token-1"}) as one:
        message = str(await failing(one))
        assert "planted-token-1" not in message
        assert message.isprintable()
        assert "<secret>" in message


# --- nobody there ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_refused_connection_certainly_changed_nothing(method: str) -> None:
    async with client(f"http://127.0.0.1:{free_port()}") as one:
        assert isinstance(await failing(one, method), Temporary)


async def test_an_unknown_host_certainly_changed_nothing() -> None:
    async with client("http://nobody.invalid", within=timedelta(seconds=5)) as one:
        assert isinstance(await failing(one), Temporary)


async def test_a_failed_handshake_certainly_changed_nothing() -> None:
    async with peer(says(200)) as shop, client(shop.url.replace("http:", "https:")) as one:
        assert isinstance(await failing(one), Temporary)
        assert shop.seen == []


async def test_a_handshake_that_never_ends_certainly_changed_nothing() -> None:
    async with peer(says(200)) as shop, proxied(shop.url) as between:
        await between.switch(Mode.BLACKHOLE)
        url = between.through(shop.url).replace("http:", "https:")
        async with client(url, within=timedelta(seconds=0.4)) as one:
            assert isinstance(await failing(one), Temporary)


async def test_a_certificate_that_nobody_vouches_for_certainly_changed_nothing(tls: ssl.SSLContext) -> None:
    app = web.Application()
    seen: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(request.raw_path)
        return web.json_response({})

    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        async with client(f"https://127.0.0.1:{runner.addresses[0][1]}", within=timedelta(seconds=5)) as one:
            assert isinstance(await failing(one), Temporary)
        assert seen == []
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("mode", "kind"), [(Mode.REFUSE, Temporary), (Mode.RESET, Uncertain), (Mode.LOSE_REPLY, Uncertain)]
)
async def test_a_network_that_fails_a_change(mode: Mode, kind: type[StepError]) -> None:
    async with peer(says(200)) as shop, proxied(shop.url) as between:
        await between.switch(mode)
        async with client(between.through(shop.url)) as one:
            assert isinstance(await failing(one), kind)


async def test_a_proxy_carries_the_request_to_the_service_it_names() -> None:
    async with (
        peer(says(200, '{"through": "the proxy"}')) as proxy,
        client("http://shop.invalid", proxy=proxy.url) as one,
    ):
        assert (await one.call("PUT", "/a", {})).body == {"through": "the proxy"}
        assert proxy.headers[0]["Host"] == "shop.invalid"


async def test_a_proxy_that_is_down_or_refuses_certainly_changed_nothing() -> None:
    async with client("http://shop.invalid", proxy=f"http://127.0.0.1:{free_port()}") as one:
        assert isinstance(await failing(one), Temporary)
    async with peer(says(403)) as proxy, client("https://shop.invalid", proxy=proxy.url) as one:
        assert isinstance(await failing(one), Temporary)


async def test_a_cancelled_call_is_cancelled_and_the_client_goes_on() -> None:
    arrived = asyncio.Event()

    async def first_hangs(request: web.Request) -> web.StreamResponse:
        if request.raw_path == "/hang":
            arrived.set()
            await asyncio.Event().wait()
        return web.json_response({})

    async with peer(first_hangs) as shop, client(shop.url, within=timedelta(seconds=30)) as one:
        call = asyncio.create_task(one.call("PUT", "/hang", {}))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await one.call("PUT", "/a", {})).status == 200
        assert [path for _, path in shop.seen] == ["/hang", "/a"]


async def test_a_change_passes_its_gate_with_the_connection_at_hand_and_before_its_first_byte() -> None:
    async def fine(_: web.Request) -> web.Response:
        return web.json_response({})

    passed: list[int] = []
    async with peer(fine) as running, client(running.url) as service:

        async def through() -> None:
            passed.append(len(running.seen))

        async def shut() -> None:
            raise Temporary("a person said so")

        for _ in range(2):  # a new connection, and one that was kept
            await service.call("PUT", "/admin/x", {"a": 1}, gate=through)
        await service.call("GET", "/admin/x", gate=shut)  # a look needs no permission
        with pytest.raises(Temporary, match="a person said so"):
            await service.call("PUT", "/admin/x", {"a": 2}, gate=shut)
        await service.call("PUT", "/admin/x", {"a": 3}, gate=through)
        assert [method for method, _ in running.seen] == ["PUT", "PUT", "GET", "PUT"]
    assert passed == [0, 1, 3]
