"""How much one body may hold, whatever its bytes: what is read of it takes many times their memory, and time.

Looked at before anything is built: a body of empty alerts becomes a hundred bytes of objects for each of its own.
"""

from responder.domain.errors import IntakeError

MOST_ALERTS = 50_000
"""In one body. So many realistic alerts have the 32 MiB that a body may have, and are read in half a second."""
MOST_VALUES = 2_000_000
"""Forty for each alert; counted by their commas, those in texts too."""
MOST_NESTED = 400_000
"""Objects and lists: eight for each alert; counted by their opening brackets, those in texts too."""
_MEND = "use more labels in `group_by`, so that a group holds fewer alerts"


def check_values(body: bytes) -> None:
    """Raise IntakeError (413) for a body that holds too many values to be read."""
    if len(body) <= MOST_NESTED:
        return
    nested = body.count(b"{") + body.count(b"[")
    if nested > MOST_NESTED:
        raise _too_many(nested, "objects and lists", MOST_NESTED)
    values = nested + body.count(b",")
    if values > MOST_VALUES:
        raise _too_many(values, "values", MOST_VALUES)


def check_alerts(found: object) -> None:
    """Raise IntakeError (413) when ``alerts`` of a body are too many."""
    if isinstance(found, list) and len(found) > MOST_ALERTS:
        raise _too_many(len(found), "alerts", MOST_ALERTS)


def _too_many(found: int, what: str, most: int) -> IntakeError:
    return IntakeError(f"the body holds {found} {what}, more than {most}; {_MEND}", status=413)
