"""GitOps: somebody who applies a manifest again whenever the cluster has come away from it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bed.kube.kinds import place_of
from tests.bed.kube.objects import Options
from tests.bed.kube.patches import APPLY
from tests.bed.kube.world import World
from tests.bed.web import JsonObject


@dataclass(slots=True)
class Keepers:
    """What is kept: (manifest, who keeps it)."""

    kept: list[tuple[JsonObject, str]] = field(default_factory=list)

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for manifest, manager in self.kept:
            written = world.objects.patch(place_of(manifest), APPLY, manifest, Options(manager, force=True))
            if written.changed:
                yield
