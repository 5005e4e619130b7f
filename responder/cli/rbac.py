"""``responder rbac``: prints the Kubernetes roles that the loaded playbooks get by with."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml

from responder import app as root
from responder.cli.exits import Exit
from responder.domain.modes import Mode
from responder.playbook.library import load_library
from responder.playbook.rights import Rule, rules_for

GROUP = "rbac.authorization.k8s.io"
NAME = "responder"


def run_rbac(config_file: Path, namespaces: Sequence[str], account: str) -> int:
    """Print the manifests; 0 printed, 1 a playbook could not be read, and what it needs is missing."""
    settings = root.read_settings(config_file)
    library = load_library(settings.playbooks, root.catalogue(), root.names_of(settings), {})
    for file, count in library.errors.items():
        print(f"# {file} has {count} error(s), and what it needs is not in here; see: responder check")
    used = [playbook for playbook in library.playbooks.values() if playbook.mode is not Mode.DISABLED]
    print(manifests(rules_for(used), namespaces, account), end="")
    return Exit.FINDINGS if library.errors else Exit.OK


def manifests(rules: Sequence[Rule], namespaces: Sequence[str], account: str) -> str:
    """Return Roles for ``namespaces`` and a ClusterRole for the rest; without namespaces, a ClusterRole for all."""
    if not rules:
        return "# The playbooks need nothing in a cluster.\n"
    home, _, service_account = account.rpartition("/")
    subject = {"kind": "ServiceAccount", "name": service_account, "namespace": home or NAME}
    wide = [rule for rule in rules if not namespaces or rule.cluster_wide or rule.elsewhere]
    narrow = [rule for rule in rules if rule not in wide]
    documents = [*(_role(wide, subject) if wide else ())]
    for namespace in namespaces:
        documents += _role(narrow, subject, namespace) if narrow else ()
    return "---\n".join([_needs(rules), *documents])


def _needs(rules: Iterable[Rule]) -> str:
    """Return who needs what, for whoever reviews it."""
    lines = [f"# {rule.resource} ({', '.join(rule.verbs)}): {', '.join(rule.playbooks)}" for rule in rules]
    return "\n".join(
        ["# What the playbooks need; planning a change needs the right to make it (a dry run).", *lines, ""]
    )


def _role(rules: Sequence[Rule], subject: dict[str, str], namespace: str = "") -> Iterator[str]:
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": NAME, **({"namespace": namespace} if namespace else {})}
    listed = [{"apiGroups": [rule.group], "resources": [rule.resource], "verbs": list(rule.verbs)} for rule in rules]
    yield _document(kind, metadata, {"rules": listed})
    reference = {"apiGroup": GROUP, "kind": kind, "name": NAME}
    yield _document(f"{kind}Binding", metadata, {"roleRef": reference, "subjects": [subject]})


def _document(kind: str, metadata: dict[str, str], more: dict[str, object]) -> str:
    document = {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, **more}
    return str(yaml.safe_dump(document, sort_keys=False))
