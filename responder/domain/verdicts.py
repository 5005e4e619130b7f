"""Verdicts: every reason to act or to refuse, with the sentence that people read.

The same word appears in logs, metric labels, the API, chat and ``explain``. A verdict is *final* for its episode and
playbook, or *later*: looked at again when its cause may have gone.
"""

from enum import StrEnum
from typing import Self


class Verdict(StrEnum):
    """A reason; ``sentence`` says it to a person, ``later`` says whether it is looked at again."""

    sentence: str
    later: bool

    def __new__(cls, value: str, sentence: str, later: bool = False) -> Self:  # noqa: FBT001, FBT002 - enum rows
        """Make a member of its word, its sentence and whether it is looked at again."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        member.later = later
        return member

    # Decisions that lead somewhere.
    RUN = "run", "A run was started."
    JOINED = "joined", "A run on the same target was already under way, and this alert joined it."
    TOLD = "told", "The playbook only tells; there is nothing to do automatically."
    ACTED = "acted", "The playbook already ran for this alert."

    # Refusals that are final for the episode.
    NO_MATCH = "no_match", "No playbook matches this alert."
    DISABLED = "disabled", "The playbook is disabled."
    RESOLVED = "resolved", "The alert is resolved."
    STALE = "stale", "Nothing has confirmed for too long that the alert still fires."
    PROTECTED = "protected", "The target is protected by the configuration."
    LABEL_MISSING = "label_missing", "The alert lacks a label that the playbook needs."
    TARGET_INVALID = "target_invalid", "The target that the playbook names for this alert is not valid."
    LABEL_ALTERED = "label_altered", "A label of the alert could not be kept as it was sent, so nothing was done."
    CLUSTER_UNKNOWN = "cluster_unknown", "The alert does not say which cluster it is about, or an unknown one."
    NO_OWNER = "no_owner", "The alert's pod has no owner of the kind that the playbook names."
    RECONCILED = "reconciled", "Something else keeps what would be changed as it is, so nothing was done."
    CONNECTION_UNKNOWN = "connection_unknown", "No connection, or more than one, fits the alert."
    ATTEMPTS_EXHAUSTED = "attempts_exhausted", "The playbook has been tried as often as it may be; a person is asked."
    RECURRING = "recurring", "What it fixes keeps coming back; a person is asked to look for the cause."
    LOOP = "loop", "The alert seems to come from our own changes; a person is asked to look."
    SUPERSEDED = "superseded", "Another playbook fixed it."

    # Refusals that are looked at again.
    LATE = "late", "The notification is older than the end of the alert; waiting for a sign that it fires again.", True
    NOT_BEGUN = (
        "not_begun",
        "The alert says that it begins more than an hour from now: a clock is wrong, so nothing was done.",
        True,
    )
    SILENCED = "silenced", "The alert is silenced in Alertmanager.", True
    INHIBITED = "inhibited", "The alert is inhibited in Alertmanager: another alert stands for it.", True
    NOT_ACTIVE = "not_active", "Alertmanager does not show the alert as firing.", True
    UNCONFIRMED = (
        "unconfirmed",
        "Alertmanager could not be asked about the alert, so nothing was done.",
        True,
    )
    FLAPPING = "flapping", "The alert goes on and off too often to act on.", True
    PAUSED = "paused", "Automation is paused.", True
    HALTED = "halted", "Automation is halted.", True
    TRIPPED = "tripped", "The playbook failed too often in a row: it asks until a person resets it.", True
    BUSY = "busy", "Another run is working on the target.", True
    QUARANTINED = (
        "quarantined",
        "An earlier run left the target in doubt; once you have looked: responder clear RUN.",
        True,
    )
    COOLDOWN = "cooldown", "The target was worked on a short time ago.", True
    RATE_TARGET = "rate_target", "The limit per target is used up for now.", True
    RATE_PLAYBOOK = "rate_playbook", "The limit of the playbook is used up for now.", True
    CONCURRENT = "concurrent", "As many runs of the playbook as may be are under way.", True
    POLICY_TARGET = "policy_target", "A policy's limit for one target is used up for now.", True
    POLICY_RATE = "policy_rate", "A policy's limit of effects is used up for now.", True
    POLICY_CONCURRENT = "policy_concurrent", "As many runs as a policy allows are under way.", True
    BLAST_RADIUS = "blast_radius", "As many targets are worked on, or were a short time ago, as may be at once.", True
    MASS_FAILURE = (
        "mass_failure",
        "Too many targets are sick at once to be fixed one by one; a person is asked for the cause.",
        True,
    )
    POPULATION_UNKNOWN = "population_unknown", "Nobody knows how many targets there are, so nothing was done.", True
    MUTED = "muted", "The playbook is muted at this time.", True
    CONDITION_FAILED = "condition_failed", "A condition of the playbook does not hold.", True
    CONDITION_UNKNOWN = "condition_unknown", "A condition could not be checked, so nothing was done.", True
    TEMPORARY = "temporary", "The target could not be reached; nothing was changed.", True
    OWNER_UNKNOWN = (
        "owner_unknown",
        "What the alert is about could not be looked up in the cluster, so nothing was done.",
        True,
    )
    NO_ITEMS = "no_items", "The list of what a step is to be done to is empty.", True
    ITEMS_UNKNOWN = (
        "items_unknown",
        "What a step is to be done to could not be found out, so nothing was done.",
        True,
    )
    TOO_MANY_ITEMS = (
        "too_many_items",
        "A step would have to be done to more items than it may; nothing was done, and a person is asked.",
        True,
    )
    TOO_MANY_PORTIONS = (
        "too_many_portions",
        "A gradual step would take more portions than it may; nothing was done, and a person is asked.",
        True,
    )
    CLOCK_SUSPECT = "clock_suspect", "The store's clock cannot be trusted at the moment; nothing was changed.", True
    STORE_BUSY = "store_busy", "The responder's store did not answer in time; nothing was changed.", True

    # How runs end.
    VERIFIED = "verified", "The change was made, and the check confirms that it helped."
    UNCHANGED = "unchanged", "The target already was as the playbook wants it."
    OBSERVED = "observed", "Only observed: this is what would have been done."
    NOT_GIVEN_BACK = "not_given_back", "The change helped, and could not be given back as planned; a person is asked."
    VERIFY_FAILED = "verify_failed", "The change did not help."
    VERIFY_UNKNOWN = "verify_unknown", "Nobody can tell whether the change helped."
    STEP_FAILED = "step_failed", "A step could not be applied."
    UNCERTAIN = "uncertain", "Nobody can tell whether a step was applied."
    UNDO_FAILED = "undo_failed", "A change could not be undone."
    UNDO_UNCERTAIN = "undo_uncertain", "Nobody can tell whether a change was undone."
    DRIFTED = "drifted", "Somebody else has changed the target since; their edit was left alone."
    UNDONE = "undone", "Every change was undone."
    NOT_UNDOABLE = "not_undoable", "A change cannot be undone automatically."
    REJECTED = "rejected", "A person said no."
    APPROVAL_EXPIRED = "approval_expired", "Nobody approved in time."
    NOT_ALLOWED = "not_allowed", "Whoever answered may not answer for this run."
    PLAN_CHANGED = "plan_changed", "The plan is no longer the one that was approved."
    STOPPED = "stopped", "A person stopped the run."
    DEADLINE = "deadline", "The run did not end in time."
    WOULD_RECORD_SECRET = "would_record_secret", "The rollback record would have held a secret."
    UNREADABLE = "unreadable", "The run could not be worked on and was set aside."
    PLAYBOOK_GONE = "playbook_gone", "The playbook's text is no longer there."


BY_CONFIGURATION = (
    Verdict.NO_MATCH,
    Verdict.DISABLED,
    Verdict.PROTECTED,
    Verdict.LABEL_MISSING,
    Verdict.TARGET_INVALID,
    Verdict.CLUSTER_UNKNOWN,
    Verdict.CONNECTION_UNKNOWN,
    Verdict.MUTED,
)
"""Why nothing was done for an alert that other playbooks or settings may do something about: it is looked at again."""
