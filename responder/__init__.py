"""Responder: an alert walks a straight line (intake, decide, act, tell), durable before every step."""

__version__ = "0.1.0"
