"""The running responder: store, playbooks, workers, web; started in order, stopped in reverse."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

from responder.act.actor import Actor
from responder.act.engine import Engine
from responder.app import ServeOptions, catalogue, names_of, read_settings, toolbox
from responder.clients.toolbox import Toolbox
from responder.decide.decider import Decider
from responder.domain.errors import ResponderError, SettingsError, StoreError
from responder.domain.records import Record
from responder.domain.runs import Run
from responder.housekeeping import Housekeeper
from responder.playbook.shelf import Shelf, fingerprint
from responder.ports.action import Action
from responder.ports.store import Store
from responder.ports.tools import HttpService, Prometheus
from responder.settings import Settings
from responder.stores.registry import open_store
from responder.tell.courier import Courier
from responder.telemetry import Telemetry
from responder.worker import LocalWake, Worker

POLL_SECONDS = {"deliveries": 0.5, "runs": 0.25, "outbox": 0.5}
"""How long each queue waits for a wake-up; a lost one costs that much."""
WATCH_SECONDS = 5.0
"""How often the files are looked at: ConfigMap mounts change under us without a signal."""
WAKES: Mapping[str, tuple[str, ...]] = {
    "delivery_stored": ("deliveries",),
    "run_created": ("runs", "outbox"),
    "delivery_decided": ("runs", "outbox"),
    "turn": ("outbox", "deliveries"),
    "asked": ("runs", "deliveries", "outbox"),
}
"""Which queues have work after a fact."""
