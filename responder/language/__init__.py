"""The small languages that people write: strict YAML, matchers, durations, ratios, templates and time intervals.

Everything here is pure: text in, values out, no clock, no network. It stands just above ``domain``.
"""
