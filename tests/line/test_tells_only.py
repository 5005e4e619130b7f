"""A playbook that only tells, from the alert to the message: its words are what it has."""

import asyncio
import io
import json
from pathlib import Path

from responder.app import catalogue
from responder.app.parts import docs_of
from responder.decide.decider import Decider
from responder.decide.rules import Rules
from responder.domain.ids import new_id
from responder.intake.formats import parse
from responder.notifiers.console import ConsoleNotifier
from responder.playbook.library import load_library
from responder.playbook.shelf import Shelf
from responder.ports.store import NewDelivery
from responder.stores.registry import open_store
from responder.tell.courier import Courier
from tests.act_bed import Wall
from tests.bed.alerts import alert, webhook

SHIPPED = Path(__file__).parents[2] / "playbooks" / "database-disk-filling-up.yaml"
FULL = {"alertname": "NodeFilesystemSpaceFillingUp", "mountpoint": "/var/lib/postgresql", "instance": "db1:9100"}


def _no_failure(name: str, /, **fields: object) -> None:
    assert "failed" not in name, f"{name} {fields}"


async def test_a_playbook_that_only_tells_says_what_it_means_and_what_to_do(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/r.db")
    await store.open()
    shelf, out = Shelf(catalogue(), store, store), io.StringIO()
    shelf.library = load_library([SHIPPED], catalogue(), None, {})
    decider = Decider(
        store, lambda: shelf.library, Rules, lambda _, body: parse("alertmanager", body), on_fact=_no_failure
    )
    courier = Courier(
        store,
        Wall(store),
        {"slack": ConsoleNotifier(out)},  # the playbook names a channel; what stands in it is what matters here
        docs_of=docs_of(shelf.known),
        external_url="",
        on_fact=_no_failure,
    )
    body = json.dumps(webhook([alert(FULL)])).encode()
    await store.accept([NewDelivery(new_id(), "am", store.now(), body, 1)])
    await decider.turn()
    async with asyncio.timeout(10):
        while not out.getvalue():
            await courier.turn()
            await courier.drain()
            await asyncio.sleep(0.05)  # what is told waits a moment for what else is decided
    await store.close()
    told = out.getvalue()
    assert "meaning: The disk under /var/lib/postgresql on db1:9100 will be full soon." in told
    assert "impact: PostgreSQL stops when it cannot write its log." in told
    assert "by hand: Look for replication slots" in told
    assert "runbook: https://runbooks.prometheus-operator.dev/" in told
