"""How fast it is, always beside what the same machine reaches without us: ``python -m benchmarks [name…]``."""
