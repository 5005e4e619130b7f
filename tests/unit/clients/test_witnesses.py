"""One answer for everybody: a storm of alerts must not become a storm of questions."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from responder.clients import witnesses as module
from responder.clients.witnesses import AlertmanagerSpec, Witnesses
from responder.domain.alerts import Alert
from responder.domain.errors import Permanent, Temporary


class Counted:
    """Stands in for the client; counts the questions."""

    def __init__(self) -> None:
        self.asked = 0
        self.error = ""
        self.answer = asyncio.Event()
        self.answer.set()

    async def alerts(self) -> Sequence[Alert]:
        self.asked += 1
        await self.answer.wait()
        if self.error:
            raise Temporary(self.error)
        return ()

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def witness(counted: Counted) -> Witnesses:
    made = Witnesses({"am": AlertmanagerSpec("http://am", {}, lambda: None)})
    made._clients["am"] = counted  # type: ignore[assignment] # has what is called
    return made


async def test_those_who_ask_at_once_share_one_question(witness: Witnesses, counted: Counted) -> None:
    counted.answer.clear()
    waiting = [asyncio.create_task(witness.picture("am")) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    counted.answer.set()
    answers = await asyncio.gather(*waiting[1:])
    assert counted.asked == 1
    assert len({id(one) for one in answers}) == 1


async def test_an_answer_serves_until_it_is_too_old(
    witness: Witnesses, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    await witness.picture("am")
    await witness.picture("am")
    assert counted.asked == 1
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
    await witness.picture("am")
    assert counted.asked == 2


async def test_an_answer_from_before_says_nothing_of_what_has_begun_since(witness: Witnesses, counted: Counted) -> None:
    before = await witness.picture("am")
    assert (await witness.picture("am", within=0.0)).read_at > before.read_at
    assert counted.asked == 2


async def test_an_answer_is_as_old_as_its_question(witness: Witnesses, counted: Counted) -> None:
    counted.answer.clear()
    asking = asyncio.create_task(witness.picture("am"))
    await asyncio.sleep(0.05)
    before = time.monotonic()
    counted.answer.set()
    assert (await asking).read_at < before - 0.04


async def test_one_that_fails_is_not_asked_again_at_once(
    witness: Witnesses, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted.error = "down"
    for _ in range(5):
        with pytest.raises(Temporary, match="down"):
            await witness.picture("am")
    assert counted.asked == 1
    counted.error = ""
    monkeypatch.setattr(module, "AGAIN_SECONDS", -1.0)
    await witness.picture("am")
    assert counted.asked == 2


async def test_a_failure_is_never_hidden_by_an_older_answer(
    witness: Witnesses, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    await witness.picture("am")
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
    counted.error = "down"
    with pytest.raises(Temporary):
        await witness.picture("am")


async def test_a_source_without_an_api_cannot_be_asked(witness: Witnesses) -> None:
    assert set(witness.sources) == {"am"}
    with pytest.raises(Permanent):
        await witness.picture("grafana")


async def test_closing_lets_nobody_wait_for_ever(witness: Witnesses, counted: Counted) -> None:
    counted.answer.clear()
    asking = asyncio.create_task(witness.picture("am"))
    await asyncio.sleep(0)
    await witness.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
