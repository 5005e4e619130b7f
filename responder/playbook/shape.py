"""The YAML of a playbook as pydantic models: the keys in the order that reads as a story.

This is the schema: ``check`` validates with it and ``responder schema`` prints it for editors. What depends on more
than one key is in ``rules``; the arguments of actions and probes belong to their own classes (``arguments``).
"""

from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from responder.domain.limits import RECURRENCE, Scope
from responder.playbook.fields import (
    OFF_IS_EVERYTHING,
    ONE_OR_MANY,
    Address,
    Channel,
    Duration,
    EqualsText,
    Interval,
    MatcherText,
    Name,
    OneOrMany,
    Person,
    PortionText,
    PositiveDuration,
    Query,
    RateText,
    Ratio,
    ShareText,
    StateName,
    TemplateText,
    ThresholdText,
    shorthand,
)


class Shape(BaseModel):
    """Base of every mapping in a playbook: unknown keys are refused, ``reserved`` ones by that word."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    reserved: ClassVar[tuple[str, ...]] = ()


class RadiusShape(Shape):
    """How many of the targets there are may be acted on at once, or shortly one after another: at least one."""

    share: ShareText = Field(description="at most this share of the targets, rounded down")
    of: Scope = Field(
        description="of all targets below the same parent, in the same cluster, of the same team's alerts, or of this "
        "playbook"
    )
    total: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="how many targets there are, healthy ones included; by default those that had an alert in 30 days",
    )


class MassFailureShape(Shape):
    """How many of the playbook's targets may be sick at once before a person is asked for the cause: at least one."""

    share: ShareText = Field(description="at most this share of the targets, rounded down; 100% or `off`: any number")
    total: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="how many targets there are, healthy ones included; by default those that had an alert in 30 "
        "days, and as long as one alone would exceed the share of these, it stops nothing",
    )


MassFailure = Annotated[MassFailureShape, shorthand("share", str, int, float), OFF_IS_EVERYTHING]


class LimitsShape(Shape):
    """How often and how long the playbook may act."""

    per_target: RateText | None = Field(default=None, description="forward effects on one target in any window")
    per_playbook: RateText | None = Field(default=None, description="forward effects of this playbook in any window")
    concurrent: int | None = Field(default=None, ge=1, le=1000, description="runs of this playbook at the same time")
    cooldown: Duration | None = Field(default=None, description="rest of a target after any end of a run")
    attempts: int | None = Field(default=None, ge=1, le=100, description="per target in 24h before a person is asked")
    max_age: PositiveDuration = Field(
        default=timedelta(minutes=30), description="of the last evidence that the alert fires"
    )
    trip_after: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="failed runs in a row before it asks, until a person resets it",
    )
    blast_radius: RadiusShape | None = Field(default=None, description=str(RadiusShape.__doc__))
    mass_failure: MassFailure = Field(
        default=MassFailureShape(share=0.2), description="a share, `off`, or { share, total }; 20% by default"
    )
    recurrence: RateText = Field(
        default=RECURRENCE, description="runs that helped on one target before a person is asked: it keeps coming back"
    )


class ApprovalShape(Shape):
    """When `auto` asks in addition, whom, and for how long."""

    matchers: list[MatcherText] = Field(default=[], description="alerts for which mode auto asks as well")
    from_: Annotated[list[Person], OneOrMany] = Field(
        default=["role:operator"],
        json_schema_extra=ONE_OR_MANY,
        alias="from",
        min_length=1,
        description="who may answer: role:operator (or higher), user:NAME, slack:@GROUP (access.slack)",
    )
    timeout: PositiveDuration = Field(default=timedelta(minutes=30), description="how long the question stands")
    on_timeout: Literal["page", "skip"] = Field(default="page", description="what happens when nobody answers")
    four_eyes: bool = Field(default=False, description="two different people must say yes, each under a name of theirs")


class ConditionShape(Shape):
    """A look at the world with a threshold: pass, fail or unknown."""

    name: str | None = Field(default=None, min_length=1, max_length=200, description="the words that people read")
    query: Query | None = Field(default=None, description="PromQL; values are escaped where they are placed")
    probe: str | None = Field(default=None, description="the probe to look with; its inputs are under `with`")
    with_: dict[str, JsonValue] = Field(default={}, alias="with", description="the probe's inputs")
    matchers: list[MatcherText] | None = Field(default=None, min_length=1, description="label checks; all must match")
    equals: EqualsText | None = Field(default=None, description="passes when every value equals this")
    above: ThresholdText | None = Field(default=None, description="passes when every value is above this")
    below: ThresholdText | None = Field(default=None, description="passes when every value is below this")
    at_least: ThresholdText | None = Field(default=None, description="passes when every value is this or more")
    at_most: ThresholdText | None = Field(default=None, description="passes when every value is this or less")
    absent: Literal[True] | None = Field(default=None, description="passes when there is no data at all")
    or_improves_by: Ratio | None = Field(
        default=None,
        description="or is better by this share than before the first step (nearer to one value, or to a band)",
    )
    not_worse_by: Ratio | None = Field(
        default=None, description="fails when worse by this share than before the first step"
    )
    within: PositiveDuration = Field(default=timedelta(minutes=5), description="how long it may take to pass")
    for_: Duration = Field(default=timedelta(), alias="for", description="how long it must keep passing")
    no_data: Literal["unknown", "pass", "fail"] = Field(default="unknown", description="what an absent series means")
    requires: list[Query] = Field(
        default=[], description="queries that must return something, or absence means nothing"
    )


class ItemsShape(Shape):
    """What a step is done to, one by one: a list that a probe finds before anything is changed, and that stays so."""

    probe: str = Field(description="the probe that finds the list; its inputs are under `with`")
    with_: dict[str, JsonValue] = Field(default={}, alias="with", description="the probe's inputs")
    max: int = Field(ge=1, le=100, description="with more items than this nothing is done at all")


class GradualShape(Shape):
    """The change of one number, made in portions: each is a step of its own, with its record and its undo."""

    by: PortionText = Field(
        description="how much at a time: a number such as `1`, or a share of the whole change such as `25%`; with more "
        "than 20 portions nothing is done"
    )
    verify: Literal["between", "end"] = Field(
        default="between",
        description="whether each portion is judged before the next, by the step's `verify` or else the playbook's, or "
        "only all of them at the end",
    )


class StepShape(Shape):
    """One action, named by its key, and how it is carried out."""

    model_config = ConfigDict(extra="allow")

    id: Name | None = Field(
        default=None, description="its name in templates and messages; the action's last name by default"
    )
    timeout: PositiveDuration = Field(
        default=timedelta(minutes=1),
        description="how long what goes on by itself may take, such as a Job, a unit or a command; one answer is "
        "waited for at most 9s, or for this where it is less",
    )
    retries: int = Field(default=0, ge=0, le=10, description="further tries after what certainly did not happen")
    undo: Literal["automatic", "manual", "none"] | None = Field(
        default=None,
        description="who undoes it; `none` must be written out for what cannot be undone",
    )
    accept: Annotated[list[Literal["unfenced"]], OneOrMany] = Field(
        default=[],
        json_schema_extra=ONE_OR_MANY,
        description="`unfenced`: in doubt, nobody can tell whether it landed, and mode auto may use it all the same",
    )
    items: ItemsShape | None = Field(
        default=None, description="done to each item of a list, judged after each; `{{ item.x }}` in the action"
    )
    gradual: GradualShape | None = Field(
        default=None, description="made in portions, and stopped and undone at the first that does not hold"
    )
    when: list[ConditionShape] = Field(default=[], description="conditions for this step")
    verify: list[ConditionShape] = Field(default=[], description="checks after this step, before the next")


class DiagnosisShape(Shape):
    """A look at the world for people to read, named by its probe: it changes nothing and decides nothing."""

    model_config = ConfigDict(extra="allow")

    name: str | None = Field(default=None, min_length=1, max_length=200, description="the words that people read")
    query: str | None = Field(default=None, description="PromQL: short for the probe `prometheus.query`")


class PagerDutyShape(Shape):
    """A PagerDuty service, and the ends of runs that it hears of."""

    service: str = Field(min_length=1, description="a service from the configuration")
    states: list[StateName] | None = Field(default=None, min_length=1, description="only runs that end so")


class SlackShape(Shape):
    """A Slack channel, and the ends of runs that it hears of."""

    channel: Annotated[list[Channel], OneOrMany] = Field(
        min_length=1,
        json_schema_extra=ONE_OR_MANY,
        description="one or more channels",
    )
    states: list[StateName] | None = Field(default=None, min_length=1, description="only runs that end so")


SlackTold = Annotated[SlackShape, shorthand("channel", str, list)]
PagerDutyTold = Annotated[PagerDutyShape, shorthand("service", str)]


Several = Annotated[list[Annotated[str, Field(min_length=1)]], OneOrMany]


def _channel(what: str) -> Any:  # noqa: ANN401 - as pydantic's Field, whose value stands for the field's
    return Field(default=[], json_schema_extra=ONE_OR_MANY, description=f"names of {what} in the configuration")


class NotifyShape(Shape):
    """Whom to tell, in addition to the configuration's routes."""

    slack: SlackTold | None = Field(default=None, description="a channel, a list of them, or { channel, states }")
    pagerduty: PagerDutyTold | None = Field(default=None, description="a service, or { service, states }")
    webhook: Several = _channel("services of your own")
    email: Annotated[list[Address], OneOrMany] = Field(
        default=[], json_schema_extra=ONE_OR_MANY, description="e-mail addresses"
    )
    teams: Several = _channel("workflows of Microsoft Teams")
    slack_webhook: Several = _channel("incoming webhooks of Slack")
    apprise: Several = _channel("services of Apprise's")
    replace: bool = Field(default=False, description="tell these instead of the routes")


class DocsShape(Shape):
    """What a person reads."""

    runbook_url: TemplateText | None = Field(default=None, description="where the runbook is")
    meaning: TemplateText | None = Field(default=None, description="what the alert means")
    impact: TemplateText | None = Field(default=None, description="whom it hurts, and how")
    by_hand: TemplateText | None = Field(default=None, description="the same remedy as a command for a person")


class PlaybookShape(Shape):
    """A playbook: which alerts, what to do, within which limits, how to check, how to undo, whom to tell."""

    reserved: ClassVar[tuple[str, ...]] = (
        *("uses", "inputs", "with", "overrides", "watch", "cost"),
        *("gradual", "items"),
    )

    schema_: Literal[1] = Field(default=1, alias="schema", description="the version of this format")
    name: Name = Field(description="unique among all playbooks")
    summary: str = Field(default="", max_length=1000, description="one sentence that says what it does")
    owner: str = Field(default="", max_length=200, description="the team that answers for it")
    priority: int = Field(default=100, ge=0, le=1_000_000, description="smaller goes first; then by name")
    mode: Literal["disabled", "observe", "approve", "auto"] = Field(
        default="observe", description="how far it may go by itself"
    )
    matchers: list[MatcherText] | None = Field(
        default=None, min_length=1, description="every one must match; firing alerts"
    )
    match_any: list[Annotated[list[MatcherText], Field(min_length=1)]] | None = Field(
        default=None,
        min_length=1,
        description="lists of matchers, one of which must match as a whole, in addition to `matchers`",
    )
    cluster: TemplateText | None = Field(default=None, description="the cluster of a Kubernetes target")
    target: TemplateText | None = Field(
        default=None, description="what it changes, as kind/name: at most one run at a time"
    )
    when: list[ConditionShape] = Field(default=[], description="all must pass before anything is changed")
    active_time_intervals: list[Interval] = Field(
        default=[], description="acts only within these, by name or written out"
    )
    mute_time_intervals: list[Interval] = Field(
        default=[], description="never acts within these, by name or written out"
    )
    limits: LimitsShape = Field(default=LimitsShape(), description=str(LimitsShape.__doc__))
    approval: ApprovalShape = Field(default=ApprovalShape(), description=str(ApprovalShape.__doc__))
    diagnose: list[DiagnosisShape] = Field(
        default=[],
        max_length=10,
        description="looked at when a run begins, or when nothing is to be run; shown in the message",
    )
    steps: list[StepShape] = Field(default=[], description="what it does, in order; without steps it only tells")
    steps_until: Literal["verified"] | None = Field(
        default=None,
        description="one step after another, each judged by `verify`; the first that helps is the last, and one that "
        "does not is undone before the next",
    )
    verify: list[ConditionShape] = Field(
        default=[], description="all must pass afterwards; by default the alert's own rule"
    )
    on_failure: Literal["undo", "keep", "page"] = Field(default="undo", description="what happens when it did not help")
    revert_after: PositiveDuration | None = Field(
        default=None,
        description="how long a change that helped is kept; then it is given back, one step at a time, each judged",
    )
    notify: NotifyShape = Field(default=NotifyShape(), description=str(NotifyShape.__doc__))
    docs: DocsShape = Field(default=DocsShape(), description=str(DocsShape.__doc__))


def story_keys() -> tuple[str, ...]:
    """Return the keys of a playbook in the order that reads as a story."""
    return tuple(field.alias or name for name, field in PlaybookShape.model_fields.items())


def key_names(shape: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys that ``shape`` accepts, as they are written."""
    return tuple(field.alias or name for name, field in shape.model_fields.items())
