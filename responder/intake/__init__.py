"""From a webhook's bytes to a committed delivery: formats and the committing buffer."""
