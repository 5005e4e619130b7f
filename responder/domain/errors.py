"""The error tree: what to do next lives in the exception's type.

::

    ResponderError
    ├── PlaybookError          a playbook file is wrong: file, line, column, rule, hint
    ├── SettingsError          responder.yml, a flag or a secret file is wrong
    ├── IntakeError            a webhook body cannot be accepted (answered with 4xx)
    ├── StepError              an action or a probe did not do what was asked
    │   ├── Temporary          certainly not applied; worth another try after ``retry_after``
    │   │   └── Moved          the target has changed since it was read: plan again, at once
    │   ├── Permanent          certainly not applied; another try would fail the same way
    │   │   └── Reconciled     something else keeps the field as it is and would undo the change
    │   ├── Uncertain          nobody knows whether it was applied: read back, never resend blindly
    │   └── Drifted            the target no longer holds what we left there: somebody else's edit stands
    ├── DeliveryError          a notification was not delivered
    │   └── NotYet             it was not sent: the channel may not be called again before ``retry_after``
    └── StoreError             the store did not do what was asked
        ├── Conflict           somebody else was first (a lost lease, a unique key)
        └── Unavailable        the store cannot be reached; nothing was decided

Library errors are translated at the client's edge with the cause chained. A refusal is not an error but a
:class:`~responder.domain.verdicts.Verdict`.
"""

from dataclasses import dataclass
from datetime import timedelta


class ResponderError(Exception):
    """Root of every error that the responder raises on purpose."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong in a file, in words that say how to mend it.

    ``line`` and ``column`` count from 1; 0 means that the place is unknown. ``rule`` is a stable kebab-case code.
    ``width`` is the number of characters to underline (at least 1).
    """

    file: str
    line: int
    column: int
    message: str
    rule: str
    hint: str = ""
    source_line: str = ""
    width: int = 1
    severity: str = "error"

    def __str__(self) -> str:
        """``file:line:column: severity: message [rule]``."""
        return f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message} [{self.rule}]"


class PlaybookError(ResponderError):
    """A YAML file (playbook or settings) cannot be used; carries every complaint found in it."""

    def __init__(self, complaints: tuple[Complaint, ...]) -> None:
        """Keep ``complaints`` (at least one), in file order."""
        super().__init__("; ".join(str(complaint) for complaint in complaints))
        self.complaints = complaints

    @property
    def first(self) -> Complaint:
        """The complaint that comes first in the file."""
        return self.complaints[0]


class SettingsError(ResponderError):
    """The configuration cannot be used; the message names the key and how to mend it."""


class IntakeError(ResponderError):
    """A webhook body cannot be accepted.

    ``status`` is the HTTP status to answer; the message lands verbatim in Alertmanager's log, so it is short,
    says how to mend the sender and never holds a secret.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        """Answer ``status`` with ``message``."""
        super().__init__(message)
        self.status = status


class StepError(ResponderError):
    """An action or a probe did not do what was asked."""


class Temporary(StepError):
    """Certainly not applied; another try may succeed after ``retry_after``."""

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        """``retry_after`` is what the target asked for, or None for our own back-off."""
        super().__init__(message)
        self.retry_after = retry_after


class Moved(Temporary):
    """Certainly not applied: the target has changed between the plan and the send, and is worth another plan."""


class Permanent(StepError):
    """Certainly not applied, and another try would fail the same way."""


class Reconciled(Permanent):
    """Something else keeps the field as it is: a change would only start a quarrel."""


class Uncertain(StepError):
    """Nobody knows whether the effect landed: a timeout, a reset or a 5xx after sending."""


class Drifted(StepError):
    """The owned fields no longer hold what we left there; undoing would overwrite somebody else's edit."""


class DeliveryError(ResponderError):
    """A notification was not delivered.

    ``retry_after`` is what the channel asked for; ``permanent`` marks what a resend cannot mend;
    ``uncertain`` marks that the message may have arrived.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: timedelta | None = None,
        permanent: bool = False,
        uncertain: bool = False,
        gone: bool = False,
    ) -> None:
        """``gone`` says that the message to edit no longer exists: post a new one."""
        super().__init__(message)
        self.retry_after = retry_after
        self.permanent = permanent
        self.uncertain = uncertain
        self.gone = gone


class NotYet(DeliveryError):
    """It was not sent: calls of its kind are paced. Others to the same destination need not wait for it."""


class StoreError(ResponderError):
    """The store did not do what was asked."""


class Conflict(StoreError):
    """Somebody else was first: the lease was lost or a unique key is taken."""


class Unavailable(StoreError):
    """The store cannot be reached or did not answer in time; nothing may start now."""
