"""The catalogue: every action and probe by the name that playbooks use."""

from collections.abc import Mapping
from dataclasses import dataclass

from responder.ports.action import Action
from responder.ports.probe import Probe


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What is there to use; built once by the composition root."""

    actions: Mapping[str, type[Action]]
    probes: Mapping[str, type[Probe]]
