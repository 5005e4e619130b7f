"""Looking up whose pod it is: what ``owner.`` in a template and the probe ``kubernetes.owner`` stand for."""

from collections.abc import Collection, Mapping

from responder.domain.errors import Permanent
from responder.domain.kubernetes import KINDS
from responder.domain.owners import BETWEEN, OWNERS, controller_of
from responder.ports.tools import Cluster


async def owners_of(
    cluster: Cluster, namespace: str, pod: str, wanted: Collection[str] = OWNERS
) -> Mapping[str, str] | None:
    """Return the names of what made a pod by their kinds, None when there is no such pod.

    A ReplicaSet is read only where its Deployment is ``wanted``, a Job only for its CronJob: who asks for neither needs
    no right to read them. Raises Permanent and Temporary as the cluster does.
    """
    obj = await cluster.find(KINDS["pod"].path(namespace, pod))
    if obj is None:
        return None
    found: dict[str, str] = {}
    while (by := controller_of(obj)) is not None:
        kind, name = by
        found[kind.word] = name
        if BETWEEN.get(kind.word) not in wanted:
            break
        above = await cluster.find(kind.path(namespace, name))
        if above is None:
            raise Permanent(f"the {kind.word} {namespace}/{name} that the pod {pod} belongs to is gone")
        obj = above
    return found
