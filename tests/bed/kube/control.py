"""What a test tells a cluster in another process: ``POST /-bed/{call}`` with the arguments as JSON."""

from typing import TYPE_CHECKING

from aiohttp import web

from tests.bed.kube.errors import ApiError
from tests.bed.kube.images import Behaviour
from tests.bed.kube.kinds import Json

if TYPE_CHECKING:
    from tests.bed.kube.cluster import Cluster

CALLS = {
    "account_token",
    "add_node",
    "advance",
    "allow",
    "apply",
    "delete",
    "every",
    "fault",
    "find",
    "keep",
    "kill_node",
    "log",
    "namespace",
    "patch",
    "pods",
    "revive_node",
    "revoke",
    "server_side_apply",
    "set_status",
    "settled",
    "token",
    "usage",
    "volume",
}
"""Methods of the cluster that can be called so; besides ``image`` and ``no_faults``."""


def add(app: web.Application, cluster: "Cluster") -> None:
    """Let `app` obey."""

    async def call(request: web.Request) -> web.Response:
        given = await request.json() if await request.read() else {}
        try:
            return web.json_response(_do(cluster, request.match_info["call"], given))
        except ApiError as error:
            return web.json_response({"error": error.message}, status=400)
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": repr(error)}, status=400)

    app.router.add_post("/-bed/{call}", call)


def _do(cluster: "Cluster", call: str, given: dict[str, Json]) -> Json:
    if call == "image":
        name = given.pop("name")
        cluster.images[name] = Behaviour(**given)
        cluster.store.wake()
        return None
    if call == "no_faults":
        return cluster.faults.clear()
    if call not in CALLS:
        raise ValueError(f"no call {call!r}; there are {', '.join(sorted(CALLS))}")
    return getattr(cluster, call)(**given)
