"""One probe a file: a read-only look at the world."""
