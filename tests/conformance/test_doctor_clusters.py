"""``responder doctor`` reaches the clusters as the responder will, and says which it cannot."""

from pathlib import Path

from responder.cli.clusters import look_at_clusters
from responder.settings.model import Cluster as Configured
from responder.settings.model import KubernetesSettings, Settings
from tests.bed.kube.cluster import Cluster


async def test_each_cluster_is_asked_for_its_version(tmp_path: Path) -> None:
    async with Cluster(nodes=0, automatic=False, tls=True) as cluster:
        good = cluster.kubeconfig(tmp_path / "good")
        stranger = cluster.kubeconfig(tmp_path / "stranger", "nobodys-token")
        clusters = {
            "eu": Configured(good),
            "us": Configured(stranger),
            "gone": Configured(tmp_path / "none"),
        }
        found = await look_at_clusters(Settings(kubernetes=KubernetesSettings(clusters=clusters)))
    assert [finding.mark for finding in found] == ["✔", "✘", "✘"]
    assert "its API answers, version v1." in str(found[0])
    assert "Unauthorized" in str(found[1])
    assert "nobodys-token" not in str(found)
    assert "no such file" in str(found[2])
    assert await look_at_clusters(Settings()) == []
