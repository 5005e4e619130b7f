"""A driver that has lost its way."""

from typing import cast

import asyncpg
import pytest

from responder.domain.errors import Unavailable
from responder.stores.core.connections import _simply


class Lost:
    """A connection whose server died between two bytes."""

    ended = False

    async def execute(self, command: str) -> str:
        raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")

    def terminate(self) -> None:
        self.ended = True


async def test_a_connection_whose_driver_lost_its_way_is_ended_and_the_store_unavailable() -> None:
    raw = Lost()
    with pytest.raises(Unavailable, match="another operation"):
        await _simply(cast("asyncpg.Connection[asyncpg.Record]", raw), "BEGIN;")
    assert raw.ended
