"""How a cluster is reached: a kubeconfig, or the pod's own service account; read on first use.

The library reads it, with tokens, certificates, exec plugins and the refresh of projected tokens. It logs what a server
answers at DEBUG, Secrets included, so its loggers never go below INFO.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from responder.domain.errors import Permanent, Temporary

if TYPE_CHECKING:
    from kubernetes_asyncio.client import Configuration

LOADING_SECONDS = 6.0
"""An exec plugin that takes longer leaves no time for a call (a turn has 20 s for everything)."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where a cluster's API is and how it is entered."""

    host: str
    tls: ssl.SSLContext | None
    proxy: str | None
    server_name: str | None
    configuration: "Configuration" = field(repr=False)

    async def headers(self) -> Mapping[str, str]:
        """Return the credentials of the next request: projected tokens change under us."""
        settings: Mapping[str, Mapping[str, Any]] = await self.configuration.auth_settings()
        return {str(one["key"]): str(one["value"]) for one in settings.values() if one["in"] == "header"}


async def load_access(name: str, kubeconfig: Path | None, context: str | None) -> Access:
    """Read how the cluster ``name`` is reached.

    Raises Permanent for a configuration that cannot be used, Temporary when a plugin does not answer in time.
    """
    # It takes 0.3 s of work to load the library: in a thread, the others get their turns meanwhile.
    await asyncio.to_thread(_load_library)
    try:
        async with asyncio.timeout(LOADING_SECONDS):
            configuration = await _configured(kubeconfig, context)
        host = str(configuration.host).rstrip("/")
        return Access(
            host=host,
            tls=await asyncio.to_thread(_tls, configuration) if host.startswith("https:") else None,
            proxy=configuration.proxy,
            server_name=configuration.tls_server_name,
            configuration=configuration,
        )
    except TimeoutError as error:
        msg = f"kubernetes.clusters.{name}: its credentials were not given within {LOADING_SECONDS:g} s"
        raise Temporary(msg) from error
    except Exception as error:  # a file of the wrong shape lets the library fall over anywhere
        where = f"the kubeconfig {kubeconfig}" if kubeconfig is not None else "the pod's service account"
        msg = f"kubernetes.clusters.{name}: {where} cannot be used: {error}"
        raise Permanent(msg) from error


def _load_library() -> None:
    import kubernetes_asyncio.client
    import kubernetes_asyncio.config

    for module in (kubernetes_asyncio.client, kubernetes_asyncio.config):
        logging.getLogger(module.__name__).setLevel(logging.INFO)
    logging.getLogger("kubernetes_asyncio.client.rest").setLevel(logging.INFO)


async def _configured(kubeconfig: Path | None, context: str | None) -> "Configuration":
    from kubernetes_asyncio.client import Configuration
    from kubernetes_asyncio.config import load_incluster_config, load_kube_config

    configuration = Configuration()
    if kubeconfig is None:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # the library's
    else:
        if not await asyncio.to_thread(kubeconfig.is_file):
            raise FileNotFoundError("there is no such file")
        await load_kube_config(
            config_file=str(kubeconfig), context=context, client_configuration=configuration, persist_config=False
        )
    return configuration


def _tls(configuration: "Configuration") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.disable_strict_ssl_verification:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
