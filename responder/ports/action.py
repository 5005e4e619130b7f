"""The action contract: a frozen pydantic class that is its YAML arguments and knows how to do, tell and undo."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, JsonValue

from responder.domain.errors import Permanent
from responder.domain.portions import Portion
from responder.domain.records import Direction, Record
from responder.domain.targets import SEPARATOR
from responder.ports.tools import Tools


class Landed(StrEnum):
    """Whether an effect is there, by marker or by value; ``never``: it is not, and a late send can no longer land.

    ``running``: it has begun and has not ended, which is worth another look.
    """

    YES = "yes"
    NO = "no"
    NEVER = "never"
    RUNNING = "running"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Permission:
    """A right the action needs: an API group or system, a resource and verbs; feeds ``responder rbac``.

    ``of`` are the kinds of targets that need it; none are all of them. ``given`` is an argument: only a step that gives
    it needs the right.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    of: tuple[str, ...] = ()
    given: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """How something that went on by itself has ended: ``why`` it is no success, empty for one.

    ``log`` are the last lines that it wrote, few and short, without credentials. ``seen`` is what else the record is to
    keep of it.
    """

    why: str = ""
    log: str = ""
    seen: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The owned fields as they are now, JSON-able, and the fence that refuses a stale send (an ETag, say).

    ``note`` is what whoever reads the plan should know of them: who else has a say there.
    """

    image: JsonValue
    fence: str = ""
    note: str = ""


def landed_by_value(record: Record, direction: Direction, now: JsonValue, goal: JsonValue) -> Landed:
    """Compare what is there now with what was before and after the effect; ``goal`` is what an undo sends back."""
    before, after = record.before, record.observed if record.observed is not None else record.planned
    if direction == "undo":
        before, after = after, goal
    if now == after:
        return Landed.YES
    return Landed.NO if now == before else Landed.UNKNOWN


class Action(BaseModel, ABC):
    """Base of every action; subclasses set the class variables and are found by scanning ``responder/actions``.

    ``effect``: ``state`` has a before and after, ``event`` just happens. ``fence`` says how a stale or repeated send is
    refused. ``undoes``: ``restores`` the before-image, ``compensates``, or is ``impossible``. ``evidence`` is what
    ``landed`` goes by. ``reach`` is what the action changes things through, with its arguments in braces; a run's
    target must be at or below it, since locks, limits and protection go by the target. ``changes`` is what two runs
    must not change at once, with arguments in braces: playbooks that share it need targets that lock each other out.
    ``gradual`` says that it may change one number, and do so in ``portions``.
    ``kinds`` are the kinds of Kubernetes targets that it works on; without any it is not for clusters.
    ``between`` says that it changes no target: see :class:`Between`. ``usual`` are the values of its ``parameter``
    that are allowed where the connection of the target names none.
    ``ended_by`` is the action that ends what this one begins and leaves: a playbook has that as a later step, with the
    same arguments, or gives it back after a time.
    ``goes_on`` says that what it begins may go on by itself for longer than one answer is waited for: the step's
    ``timeout`` then says how long.
    ``example`` is a playbook step that the tests load and the reference shows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    effect: ClassVar[Literal["state", "event"]]
    fence: ClassVar[Literal["precondition", "key", "session", "none"]]
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]]
    evidence: ClassVar[Literal["marker", "value"]]
    permissions: ClassVar[tuple[Permission, ...]] = ()
    reach: ClassVar[str] = ""
    changes: ClassVar[str] = ""
    gradual: ClassVar[bool] = False
    kinds: ClassVar[tuple[str, ...]] = ()
    between: ClassVar[bool] = False
    ended_by: ClassVar[str] = ""
    usual: ClassVar[frozenset[str]] = frozenset()
    goes_on: ClassVar[bool] = False
    example: ClassVar[str]

    def arguments(self) -> dict[str, JsonValue]:
        """Return the arguments as YAML has them: what a record keeps and the action is made from again."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def elsewhere(self, target: str) -> str:
        """Return what the action would change when that is not ``target``, empty when it is."""
        reached = self.reach.format_map(self.arguments())
        return "" if not reached or (target + SEPARATOR).startswith(reached + SEPARATOR) else reached

    def repeatable(self, record: Record, tools: Tools) -> bool:
        """Say whether the target certainly refuses a send of ``record`` that comes a second time, or late."""
        del record, tools
        return self.fence != "none"

    @abstractmethod
    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read the owned fields; raises StepError."""

    @abstractmethod
    def change(self, before: JsonValue) -> JsonValue:
        """Return the planned after-image; pure. Raises ValueError when its bounds do not allow it."""

    def goes_on_from(self, other: "Action") -> bool:
        """Say whether it changes the very fields that ``other`` does: a plan of both shows this one behind that one.

        Only what is computed from what is there needs to say so.
        """
        del other
        return False

    @classmethod
    def not_gradual(cls, arguments: Mapping[str, object]) -> str:
        """Return why ``arguments``, templates still in them, cannot be carried out in portions; empty when they can."""
        del arguments
        return "" if cls.gradual else f"{cls.name} does not change a number"

    def portions(self, before: JsonValue, by: Portion) -> tuple[Self, ...]:
        """Return the actions that make the change from ``before`` together, one after another; pure.

        None are needed where nothing is to be changed. Raises TooManyPortions, and ValueError where it cannot be done.
        """
        del before, by
        msg = f"{self.name} cannot be done in portions"
        raise ValueError(msg)

    def waits(self) -> bool:
        """Say whether what it begins goes on by itself, and the step is over only with its end: see ``ended``."""
        return False

    async def ended(self, target: str, record: Record, tools: Tools) -> End | None:
        """Return how what an applied record has begun has ended, None while it goes on; never changes anything."""
        del target, record, tools
        return End()

    @abstractmethod
    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Make the change once under ``record.key("do")`` and the record's fence; return what is there now."""

    @abstractmethod
    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Say whether the effect is there; never changes anything."""

    async def ending(self, target: str, record: Record, direction: Direction, tools: Tools) -> str:
        """Say how an effect ended of which nobody can tell whether it is there; empty when no more is known.

        For whoever is asked to decide. Raises StepError when that cannot be read.
        """
        del target, record, direction, tools
        return ""

    @abstractmethod
    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Put the owned fields back as ``record.before`` had them, carrying ``record.key("undo")``.

        Raises Drifted when the target no longer holds the observed after-image.
        """

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say whether the owned fields differ from what this record left there."""
        snapshot = await self.snapshot(target, tools)
        return snapshot.image != record.observed


class Between(Action):
    """Base of the steps that stand between changes: they wait, ask or tell.

    No target is changed, so there is no record, no undo and no budget; what they did stands in the run's own progress
    and in the audit log. The plan shows ``text`` as what will be.
    """

    effect: ClassVar[Literal["state", "event"]] = "event"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "precondition"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "restores"
    evidence: ClassVar[Literal["marker", "value"]] = "marker"
    between: ClassVar[bool] = True
    does: ClassVar[Literal["wait", "ask", "page", "note"]]

    @property
    @abstractmethod
    def text(self) -> str:
        """What people read of it."""

    def lasts(self) -> timedelta:
        """Return how long it takes, or how long an answer is waited for."""
        return timedelta()

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read nothing."""
        return Snapshot(None)

    def change(self, before: JsonValue) -> JsonValue:
        """Return what people read of it."""
        del before
        return self.text

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Refuse: the engine carries it out by itself, without a record."""
        raise Permanent(f"{self.name} changes nothing")

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Say no."""
        return Landed.NEVER

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Do nothing: there is nothing to undo."""
