"""The demonstration: a small real service, playbooks for it, and a story told in the terminal."""
