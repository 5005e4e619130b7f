"""The cluster as a process of its own, for tests that kill processes: ``python -m tests.bed.kube --port 8001 …``."""

import argparse
import asyncio
import signal
from pathlib import Path

import yaml

from tests.bed.kube.cluster import Cluster
from tests.bed.kube.ledger import Ledger


async def serve(given: argparse.Namespace) -> None:
    """Serve until a signal ends it."""
    ledger = Ledger(given.ledger, given.fsync)
    cluster = Cluster(given.nodes, tls=given.tls, port=given.port, config=given.kubeconfig, ledger=ledger)
    if given.manifests is not None:
        cluster.apply(list(yaml.safe_load_all(given.manifests.read_text())))
        cluster.settled()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with cluster:
        await ended.wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--fsync", action="store_true", help="write each entry of the ledger through to the disk")
    parser.add_argument("--kubeconfig", type=Path, help="write one for the administrator here, before the port opens")
    parser.add_argument("--manifests", type=Path, help="YAML documents to begin with")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--tls", action="store_true", help="serve https with a certificate that the kubeconfig trusts")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
