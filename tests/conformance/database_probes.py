"""The probes that ask a server that is no peer of ours: a database, an Alertmanager."""

from responder.app import catalogue

SYSTEMS = ("redis.", "postgres.", "alertmanager.")
DATABASE_PROBES = [kind for name, kind in catalogue().probes.items() if name.startswith(SYSTEMS)]
