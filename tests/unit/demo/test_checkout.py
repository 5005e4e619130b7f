"""The demonstration's service behaves as a saturated service does, and guards its settings."""

import random
from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from responder.demo.checkout import Checkout, make_app

Client = TestClient[Request, Application]


def after(checkout: Checkout, seconds: float) -> Checkout:
    """Let time pass in the service's own steps."""
    for _ in range(round(seconds / 0.1)):
        checkout.pass_time(0.1)
    return checkout


def checkout(*, leak: float = 0.0, arrivals: float = 100.0) -> Checkout:
    """Return a service with reproducible customers."""
    return Checkout(leak=leak, arrivals=arrivals, chance=random.Random(7))  # noqa: S311 - customers, not secrets


def test_four_workers_cannot_keep_up() -> None:
    assert after(checkout(), 6).error_rate > 0.4


def test_six_workers_catch_up_within_the_playbooks_patience() -> None:
    overloaded = after(checkout(), 10)
    overloaded.change("workers", 6)
    assert after(overloaded, 5).error_rate == 0
    assert overloaded.latency < 1


def test_a_leak_stays_whatever_the_cache() -> None:
    leaking = checkout(leak=0.25)
    leaking.change("workers", 6)
    leaking.change("cache", 128)
    assert 0.1 < after(leaking, 6).error_rate < 0.4


def test_after_the_sale_four_workers_are_enough() -> None:
    assert after(checkout(arrivals=60.0), 6).error_rate == 0


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(checkout(arrivals=0.0)))) as running:
        yield running


async def test_a_change_with_the_right_etag_is_made(client: Client) -> None:
    read = await client.get("/admin/workers")
    assert await read.json() == {"workers": 4}
    written = await client.put("/admin/workers", json={"workers": 6}, headers={"If-Match": read.headers["ETag"]})
    assert (written.status, await written.json()) == (200, {"workers": 6})
    assert written.headers["ETag"] != read.headers["ETag"]


async def test_a_stale_change_is_refused(client: Client) -> None:
    read = await client.get("/admin/workers")
    await client.put("/admin/workers", json={"workers": 5})
    stale = await client.put("/admin/workers", json={"workers": 6}, headers={"If-Match": read.headers["ETag"]})
    assert stale.status == 412
    assert await (await client.get("/admin/workers")).json() == {"workers": 5}


async def test_another_settings_change_does_not_make_it_stale(client: Client) -> None:
    read = await client.get("/admin/workers")
    await client.put("/admin/cache", json={"cache_megabytes": 128})
    written = await client.put("/admin/workers", json={"workers": 6}, headers={"If-Match": read.headers["ETag"]})
    assert written.status == 200


async def test_the_same_key_changes_nothing_twice(client: Client) -> None:
    once = {"Idempotency-Key": "record-1:do"}
    await client.put("/admin/workers", json={"workers": 6}, headers=once)
    await client.put("/admin/workers", json={"workers": 4})
    again = await client.put("/admin/workers", json={"workers": 6}, headers=once)
    assert await again.json() == {"workers": 4}


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"workers": 0}', b'{"workers": true}', b'{"workers": "6"}'])
async def test_nonsense_is_refused_and_changes_nothing(client: Client, body: bytes) -> None:
    assert (await client.put("/admin/workers", data=body)).status in {400, 422}
    assert await (await client.get("/admin/workers")).json() == {"workers": 4}


async def test_there_are_two_settings(client: Client) -> None:
    assert (await client.get("/admin/colour")).status == 404
