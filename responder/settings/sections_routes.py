"""Reading who is told: when a channel gets one message for all."""

from responder.settings.model import DigestSettings
from responder.settings.reader import Node

_MOST = 1000
OFF = "off"


def read_digest(node: Node) -> DigestSettings | None:
    """Read when it is a storm; ``off`` lets every incident have a message of its own."""
    if node.value == OFF:
        return None
    fields, usual = node.keys(("after", "within")), DigestSettings()
    return DigestSettings(
        after=fields.read("after", lambda one: one.count(_MOST), usual.after),
        within=fields.read("within", Node.duration, usual.within),
    )
