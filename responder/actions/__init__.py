"""One action a file: a frozen model that is its own YAML arguments."""
