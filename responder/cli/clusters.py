"""Looking at the Kubernetes clusters, as the responder would reach them."""

import asyncio

from responder import app as root
from responder.cli.findings import Finding, well, wrong
from responder.domain.errors import StepError
from responder.domain.reconcilers import text_at
from responder.settings import Settings


async def look_at_clusters(settings: Settings) -> list[Finding]:
    """Ask each cluster for its version; reads the kubeconfigs, with whatever plugins they name."""
    if not settings.kubernetes.clusters:
        return []
    tools = root.toolbox(settings)

    async def ask(name: str) -> Finding:
        subject = f"cluster {name}"
        try:
            version = await tools.cluster(name).get("/version")
        except StepError as error:
            return wrong(subject, str(error))
        return well(subject, f"its API answers, version {text_at(version, 'gitVersion') or 'unknown'}")

    try:
        return list(await asyncio.gather(*map(ask, settings.kubernetes.clusters)))
    finally:
        await tools.close()
