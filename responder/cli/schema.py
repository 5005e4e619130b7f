"""``responder schema``: prints the JSON Schema of playbooks, for editors."""

import json

from responder.playbook.json_schema import playbook_schema
from responder.ports.catalogue import Catalogue


def run_schema(catalogue: Catalogue) -> str:
    """Return the JSON Schema of a playbook with every action of ``catalogue``, as text."""
    return json.dumps(playbook_schema(catalogue), indent=2, ensure_ascii=False) + "\n"
