"""A Kubernetes API server, its controllers and its nodes, for tests: no package ships a real one.

It answers as a real 1.36 control plane was recorded to answer (tests/contracts/kubernetes).
"""

from tests.bed.kube.cluster import Cluster
from tests.bed.kube.images import Behaviour
from tests.bed.kube.ledger import Entry, Ledger

__all__ = ["Behaviour", "Cluster", "Entry", "Ledger"]
