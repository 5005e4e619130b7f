"""Files that clients read: a kubeconfig, and the certificate of a peer that serves https."""

import base64
import contextlib
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.bed.processes import private_directory


def write(path: Path, url: str, token: str, *, ca: str = "", namespace: str = "default") -> Path:
    """Write a kubeconfig (JSON is YAML) and return `path`."""
    cluster = {"server": url}
    if ca:
        cluster["certificate-authority-data"] = base64.b64encode(ca.encode()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "peer", "cluster": cluster}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "peer", "context": {"cluster": "peer", "user": "user", "namespace": namespace}}],
        "current-context": "peer",
    }
    path.write_text(json.dumps(config, indent=2))
    path.chmod(0o600)
    return path


@contextlib.contextmanager
def certificate() -> Iterator[tuple[ssl.SSLContext, str]]:
    """Give a server's context for 127.0.0.1 and the certificate that a client has to trust."""
    with private_directory("kube-tls") as directory:
        key, crt = directory / "key.pem", directory / "crt.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-keyout", str(key), "-out", str(crt), "-days", "2", "-subj", "/CN=kube-peer"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
        subprocess.run(command, check=True, capture_output=True)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(crt, key)
        yield context, crt.read_text()
