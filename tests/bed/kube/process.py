"""A cluster as a process of its own: it outlives a responder that is killed, and its ledger outlives both."""

import contextlib
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bed.kube import kubeconfig, ledger
from tests.bed.kube.kinds import Json
from tests.bed.processes import Child, free_port, private_directory, start
from tests.bed.web import JsonObject

_ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class ClusterProcess:
    """A running cluster. `kubeconfig` is the administrator's; `do` calls a method of `Cluster`."""

    url: str
    path: Path
    kubeconfig: Path
    child: Child

    def entries(self) -> list[ledger.Entry]:
        """Return what its ledger holds; works after its end, too."""
        return ledger.read(self.path)

    def do(self, call: str, **arguments: object) -> Json:
        """Call a method of the cluster (see `control.CALLS`); raise ValueError when it refuses."""
        data = json.dumps(arguments).encode()
        request = urllib.request.Request(f"{self.url}/-bed/{call}", data=data, method="POST")  # noqa: S310 -- our own
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 -- our own server
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise ValueError(json.loads(error.read())["error"]) from None

    def get(self, kind: str, namespace: str, name: str) -> JsonObject:
        """Return an object as it is; raise KeyError when there is none."""
        found: JsonObject | None = self.do("find", kind=kind, namespace=namespace, name=name)
        if found is None:
            raise KeyError(f"{kind} {namespace}/{name}")
        return found

    def kubeconfig_of(self, path: Path, token: str, namespace: str = "default") -> Path:
        """Write a kubeconfig for a token that ``do("token", …)`` or ``do("account_token", …)`` returned."""
        return kubeconfig.write(path, self.url, token, namespace=namespace)

    def fault(self, kind: str, times: int = 1, **more: object) -> None:
        """Misbehave on the next `times` requests that fit, see `faults.Fault`."""
        self.do("fault", kind=kind, times=times, **more)

    def image(self, name: str, **behaviour: object) -> None:
        """Say how an image behaves: fields of `images.Behaviour`."""
        self.do("image", name=name, **behaviour)


@contextlib.contextmanager
def cluster_process(*, fsync: bool = False, nodes: int = 3) -> Iterator[ClusterProcess]:
    """Run a cluster; it ends with the test, its ledger with it."""
    with private_directory("kube") as directory:
        port, path, config = free_port(), directory / "ledger.jsonl", directory / "admin.kubeconfig"
        command = [sys.executable, "-m", "tests.bed.kube", "--port", str(port), "--ledger", str(path)]
        command += ["--nodes", str(nodes), "--kubeconfig", str(config), *(["--fsync"] if fsync else [])]
        child = start("kube", command, directory=directory, env={"PYTHONPATH": str(_ROOT)})
        try:
            child.wait_for_port(port)
            yield ClusterProcess(f"http://127.0.0.1:{port}", path, config, child)
        finally:
            child.stop()
