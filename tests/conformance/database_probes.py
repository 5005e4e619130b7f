"""The probes that ask a database."""

from responder.app import catalogue

DATABASE_PROBES = [kind for name, kind in catalogue().probes.items() if name.startswith(("redis.", "postgres."))]
