"""What the engine asks of the outside, as Protocols: store, action, probe, notifier, clock, tools; and the catalogue."""
