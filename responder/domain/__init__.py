"""The vocabulary: frozen types and pure functions. No await, no clock, no I/O; stdlib and pydantic only."""
