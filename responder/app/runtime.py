"""What a running responder holds: settings, store, playbooks, tools, channels, and what a reload exchanges of them."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from pydantic import JsonValue

from responder.act.engine import Engine
from responder.act.reach import counted_under
from responder.app import ServeOptions, catalogue, names_of, read_settings, toolbox, witnesses
from responder.app.live import LiveTools, LiveWitness, StoreClock
from responder.app.parts import Channels, channels_of, heads_of, privacy_of, rules_of
from responder.app.roles import QUEUES, role_of
from responder.clients.own_brakes import OwnBrakes
from responder.clients.pace import LocalPace
from responder.domain.brakes import PAUSE_VARIABLE
from responder.domain.errors import Complaint, ResponderError, StoreError
from responder.domain.limits import Cap, Scope
from responder.domain.notification import Account
from responder.domain.records import Record
from responder.domain.runs import Run
from responder.domain.targets import is_protected
from responder.domain.verdicts import BY_CONFIGURATION
from responder.intake.reconcile import Reconciler
from responder.playbook.model import Playbook
from responder.playbook.shelf import Shelf, fingerprint
from responder.ports.action import Action
from responder.ports.notifier import Notifier, Pictures
from responder.ports.pace import Pace
from responder.ports.wake import Queue, Wake
from responder.settings import Settings, WrongSettings, cross_check
from responder.stores.registry import open_store
from responder.telemetry import Redactor, Telemetry
from responder.tell.around import Around
from responder.tell.digest import Storm
from responder.tell.early import too_early
from responder.tell.enrich import Enricher
from responder.tell.history import history
from responder.tell.rollouts import rollouts
from responder.tell.way import Way
from responder.worker import LocalWake

WATCH_SECONDS = 5.0
"""How often the files are looked at: ConfigMap mounts change under us without a signal."""
AGAIN_SECONDS = 15.0
"""How often settings that are wrong are read again, changed or not: they may wait for a file that nobody watches."""
RETIRE_SECONDS = 30.0
"""How long connections outlive a reload: turns under way still use them, and no turn outlives its lease."""
WAKES: Mapping[str, tuple[Queue, ...]] = {
    "run_state": ("outbox",),
    "run_finished": ("outbox",),
    "episodes_due": ("deliveries",),
    "asked": ("runs", "deliveries", "outbox"),
    "page_overdue": ("outbox",),
    "person_needed": ("outbox",),
    "enriched": ("outbox",),
    "brake": ("runs", "deliveries"),
}
"""Which queues have work after a fact. Intake wakes the decider, and the decider the others, when they have any."""
HURRIES = frozenset({"person_needed", "page_overdue", "delivery_dead", "asked"})
"""Facts after which telling gives way to nothing for a moment: somebody is needed, or waits for an answer."""


class Runtime:
    """Everything that runs in one process; what a reload may change is held here and nowhere else."""

    def __init__(self, options: ServeOptions, settings: Settings, telemetry: Telemetry, redactor: Redactor) -> None:
        """Make the parts; nothing is opened yet."""
        self.options = options
        self.queues = QUEUES[role_of(options.role, settings.store.url)]
        self.settings = settings
        self.telemetry = telemetry
        self.redactor = redactor
        self.catalogue = catalogue()
        self.brakes = OwnBrakes(os.environ.get(PAUSE_VARIABLE, ""), settings.brake_file)
        self.store = open_store(settings.store.url, settings.store.password, self.brakes)
        self.store_url = settings.store.url
        self.heads = heads_of(settings, self.store_url)
        self.shelf = Shelf(self.catalogue, self.store, self.store)
        self.tools = LiveTools()
        self.witness = LiveWitness()
        self.wake: Wake = LocalWake()
        self.pace: Pace = LocalPace()
        self.rules = rules_of(settings)
        self._scopes: frozenset[Scope] = frozenset()
        """What playbooks bound their reach by: every run is counted under it."""
        self.channels = Channels({})
        self.notifiers: dict[str, Notifier] = {}
        self.pictures: dict[str, Pictures] = {}
        self.started_at = time.time()
        self._seen: tuple[tuple[str, int, int], ...] = ()
        self.way = Way()
        self.followers: list[Callable[[], Awaitable[None]]] = []
        """What looks at the settings again when others are in force."""
        self._reloading = asyncio.Lock()
        self._wrong: ResponderError | None = None
        """What was wrong at the last reload."""
        self._again_at = 0.0
        self._retired: list[tuple[float, tuple[Callable[[], Awaitable[None]], ...]]] = []

    def on_fact(self, name: str, /, **fields: object) -> None:
        """Log and count a fact, and wake the queues that have work after it."""
        self.telemetry.fact(name, **fields)
        if name in HURRIES:
            self.way.hurry()
        for queue in WAKES.get(name, ()):
            self.wake.notify(queue)

    async def adopt(self, settings: Settings) -> None:
        """Put settings and their playbooks to use; what is wrong with single playbooks is told, not raised."""
        self.redactor.learn(settings.secrets)
        tools, channels = toolbox(settings), channels_of(settings, sys.stdout, self.redactor, self.pace)
        witness = witnesses(settings)
        # Before the files are read: an edit in between must still look like one afterwards.
        seen = fingerprint(settings.playbooks, settings.files)
        # The store may refuse here; nothing has been put to use by then.
        library = await self.shelf.load(settings.playbooks, names_of(settings))
        self._seen = seen
        radii = [playbook.limits.blast_radius for playbook in library.playbooks.values()]
        self._scopes = frozenset(radius.of for radius in radii if radius is not None)
        if settings.store != self.settings.store or settings.redis != self.settings.redis:
            self.on_fact("complaint", text="another store or Redis takes a restart; the old one stays in use", hint="")
        old, self.tools.current = self.tools.current, tools
        old_witness, self.witness.current = self.witness.current, witness
        self.settings, self.rules = settings, rules_of(settings)
        self.redactor.configure(privacy_of(settings))
        self.brakes.file = settings.brake_file
        self.heads = heads_of(settings, self.store_url)
        old_channels, self.channels = self.channels, channels
        self.notifiers.clear()
        self.notifiers.update(self.channels.notifiers)
        self.pictures.clear()
        self.pictures.update(self.channels.pictures)
        missing = cross_check(settings, library.modes, library.looks_back)
        for complaint in (*(c for found in library.complaints.values() for c in found), *missing):
            self.on_fact("complaint", text=str(complaint), hint=complaint.hint, severity=complaint.severity)
        self.on_fact("playbooks", loaded=len(library.playbooks), stale=len(library.stale), errors=dict(library.errors))
        for follow in self.followers:
            await follow()
        closers = (old.close, old_witness.close, *old_channels.closers)
        self._retired.append((time.monotonic() + RETIRE_SECONDS, closers))

    async def close_retired(self, now: float) -> None:
        """Give back the connections that reloads have replaced and that nothing uses any more at ``now``."""
        due = [closers for at, closers in self._retired if at <= now]
        self._retired = [one for one in self._retired if one[0] > now]
        for close in (close for closers in due for close in closers):
            await close()

    async def reload(self) -> str:
        """Read everything again; returns what is wrong, empty when all is in use. The last good settings stay.

        Playbooks do not wait for settings that are wrong: they are read with those in use.
        """
        async with self._reloading:
            settings, wrong = await self._settings_now()
            try:
                await self.adopt(settings)
                await self.store.kick(BY_CONFIGURATION)
            except ResponderError as error:
                if isinstance(error, StoreError):
                    self._seen = ()  # nothing is wrong with the files: the next look tries again
                wrong = wrong or error
            self.wake.notify("deliveries")
            self._wrong, self._again_at = wrong, time.monotonic() + AGAIN_SECONDS
            if wrong is not None:
                self.on_fact("reload", ok=False, error=str(wrong))
            else:
                self.on_fact("reload", ok=True, digest=settings.digest)
            return _told(wrong)

    @property
    def complaints(self) -> tuple[Complaint, ...]:
        """What is wrong with the files now: the settings since the last reload, and each playbook."""
        playbooks = (one for found in self.shelf.library.complaints.values() for one in found)
        if self._wrong is None:
            return tuple(playbooks)
        if isinstance(self._wrong, WrongSettings):
            return (*self._wrong.complaints, *playbooks)
        return (Complaint(str(self.options.config_file), 0, 0, str(self._wrong), "reload"), *playbooks)

    async def _settings_now(self) -> tuple[Settings, ResponderError | None]:
        """Return the settings as they are in their file, or those in use with what is wrong with the file."""
        try:
            return await asyncio.to_thread(read_settings, self.options.config_file, self.options.flags()), None
        except ResponderError as error:
            return self.settings, error

    async def watch(self) -> None:
        """Reload when a file has changed, or when what was wrong is so no longer."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self.close_retired(time.monotonic())
            seen = await asyncio.to_thread(fingerprint, self.settings.playbooks, self.settings.files)
            if seen != self._seen or await self._otherwise():
                self._seen = seen
                await self.reload()

    async def _otherwise(self) -> bool:
        """Say whether what was wrong at the last reload is no longer so, as when a secret is mounted after its name."""
        if self._wrong is None or time.monotonic() < self._again_at:
            return False
        self._again_at = time.monotonic() + AGAIN_SECONDS
        return _told((await self._settings_now())[1]) != _told(self._wrong)

    def page(self) -> frozenset[str]:
        """Return who hears that a person is needed where no decision names them."""
        return frozenset({self.rules.page} if self.rules.page else ())

    def pager(self) -> str:
        """Return who hears only that a person is needed: the place in ``page``, unless a route tells it more.

        PagerDuty's notifier knows that by itself.
        """
        place = self.rules.page
        routed = any(place in route.destinations for route in self.rules.routes)
        return "" if routed or place.startswith("pagerduty:") else place

    def early(self, destination: str, account: Account) -> bool:
        """Say whether somebody whom only a playbook names is not to hear of an incident yet."""
        named = any(destination in route.destinations for route in self.rules.routes)
        return not named and destination != self.rules.page and too_early(destination, account, self.shelf.known)

    def storm(self) -> Storm | None:
        """Return when incidents are told in a digest, None for never."""
        digest = self.settings.storms
        return None if digest is None else Storm(digest.after, digest.within)

    def engine(self) -> Engine:
        """Return what act works with."""
        return Engine(
            store=self.store,
            tools=self.tools,
            clock=StoreClock(self.store),
            playbook_of=self._playbook_of,
            holds_secret=self._holds_secret,
            action_of=self._action_of,
            on_fact=self.on_fact,
            external_url=self.settings.external_url,
            witness=self.witness,
            caps_of=self._caps_of,
            diagnose=self.enricher().of_run,
            protected=self._protected,
        )

    def enricher(self) -> Enricher:
        """Return what finds out what people would ask next."""
        return Enricher(
            self.store,
            self.store,
            StoreClock(self.store),
            self.tools,
            playbook_for=self.shelf.known,
            clean=self.redactor.redact,
            on_fact=self.on_fact,
            looks=(partial(history, self.tools), Around(self.store).look, partial(rollouts, self.tools)),
            way=self.way,
        )

    def reconciler(self) -> Reconciler:
        """Return what compares the sources with what is held of them."""
        return Reconciler(
            self.store,
            self.witness,
            StoreClock(self.store),
            group_interval=lambda: self.rules.group_interval,
            on_committed=lambda: self.wake.notify("deliveries"),
            on_fact=self.on_fact,
        )

    async def _playbook_of(self, run: Run) -> Playbook | None:
        return await self.shelf.of(run)

    def _caps_of(self, run: Run) -> tuple[Cap, ...]:
        return (*self.rules.caps_for(run.context.labels), *counted_under(self._scopes, run))

    def _protected(self, target: str) -> bool:
        return is_protected(target, self.rules.protect)

    def _holds_secret(self, value: JsonValue) -> bool:
        return self.redactor.holds_secret(value)

    def _action_of(self, record: Record) -> Action:
        return self.catalogue.actions[record.action].model_validate(dict(record.arguments))


def _told(error: ResponderError | None) -> str:
    return "" if error is None else str(error)
