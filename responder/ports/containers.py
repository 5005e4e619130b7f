"""Container engines as targets: a look at a container, a restart, an update of its limits."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from pydantic import JsonValue


class Engine(Protocol):
    """One configured engine. Only the containers that the configuration names are looked at or changed.

    Reads raise Temporary, or Permanent for what is not there. Changes raise Permanent when they are refused, Temporary
    when they certainly did not happen, Uncertain when there is no answer.
    """

    def behind(self, gate: Callable[[], Awaitable[None]]) -> "Engine":
        """Return it with a gate that each change passes."""
        ...

    async def inspect(self, container: str) -> Mapping[str, JsonValue]:
        """Return what the engine knows of a container."""
        ...

    async def restart(self, container: str, seconds: int) -> None:
        """Stop a container, within ``seconds`` or by force, and start it again; once."""
        ...

    async def update(self, container: str, limits: Mapping[str, JsonValue]) -> None:
        """Change a container's limits, in the words of the API; once."""
        ...
