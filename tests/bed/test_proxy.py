"""The proxy's faults look to a client as the network's do."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from tests.bed.proxy import Mode, Proxy, proxied
from tests.bed.waiting import eventually

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """Answers each line with itself and remembers it: what it heard is what was applied."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.heard.append(line)
                writer.write(line)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with proxied(f"tcp://127.0.0.1:{port}") as running:
        yield running
    server.close()


async def connect(proxy: Proxy) -> Streams:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def say(streams: Streams, line: bytes) -> bytes:
    reader, writer = streams
    writer.write(line)
    return await asyncio.wait_for(reader.readline(), 1)


async def test_it_passes_everything_and_counts(proxy: Proxy) -> None:
    first, second = await connect(proxy), await connect(proxy)
    assert await say(first, b"one\n") == b"one\n"
    assert await say(second, b"two\n") == b"two\n"
    assert (proxy.accepted, proxy.open) == (2, 2)
    first[1].close()
    second[1].close()
    await eventually(lambda: proxy.open == 0)


async def test_latency_delays_both_ways(proxy: Proxy) -> None:
    streams = await connect(proxy)
    await proxy.switch(Mode.LATENCY, delay=timedelta(milliseconds=60))
    began = time.monotonic()
    assert await say(streams, b"slow\n") == b"slow\n"
    assert time.monotonic() - began >= 0.12
    streams[1].close()


async def test_a_blackhole_answers_nothing_until_it_is_lifted(proxy: Proxy, echo: Echo) -> None:
    streams = await connect(proxy)
    await proxy.switch(Mode.BLACKHOLE)
    streams[1].write(b"anyone?\n")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(streams[0].read(1), 0.1)
    assert echo.heard == []
    await proxy.switch(Mode.PASS)
    assert await asyncio.wait_for(streams[0].readline(), 1) == b"anyone?\n"
    streams[1].close()


async def test_refuse_ends_open_connections_and_takes_no_new_ones_until_restored(proxy: Proxy) -> None:
    streams = await connect(proxy)
    await say(streams, b"hello\n")
    await proxy.switch(Mode.REFUSE)
    with pytest.raises(ConnectionResetError):
        await streams[0].read(1)
    with pytest.raises(ConnectionRefusedError):
        await connect(proxy)
    await proxy.switch(Mode.PASS)
    again = await connect(proxy)
    assert await say(again, b"back\n") == b"back\n"
    again[1].close()


async def test_reset_accepts_and_resets(proxy: Proxy) -> None:
    await proxy.switch(Mode.RESET)
    reader, writer = await connect(proxy)
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()


async def test_a_reply_is_cut_after_so_many_bytes(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    await proxy.switch(Mode.CUT, after=3)
    writer.write(b"abcdef\n")
    assert await reader.readexactly(3) == b"abc"
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()


async def test_a_request_is_applied_and_its_reply_lost_once(proxy: Proxy, echo: Echo) -> None:
    streams = await connect(proxy)
    await proxy.switch(Mode.LOSE_REPLY, when=b"COMMIT", once=True)
    assert await say(streams, b"BEGIN\n") == b"BEGIN\n"
    with pytest.raises(ConnectionResetError):
        await say(streams, b"COMMIT\n")
    assert echo.heard == [b"BEGIN\n", b"COMMIT\n"]
    assert proxy.struck == 1
    again = await connect(proxy)
    assert await say(again, b"COMMIT\n") == b"COMMIT\n"
    again[1].close()


async def test_a_commit_whose_answer_is_lost_has_happened(postgres_url: str) -> None:
    async with proxied(postgres_url) as proxy:
        connection = await asyncpg.connect(proxy.through(postgres_url))
        await connection.execute("CREATE TABLE thing (id int)")
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO thing VALUES (7)")
        await proxy.switch(Mode.LOSE_REPLY, when=b"COMMIT")
        with pytest.raises((OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
            await connection.execute("COMMIT")
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT id FROM thing") == 7
    await connection.close()
