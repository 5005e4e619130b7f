"""What people write: strict YAML with positions, matchers, templates, durations, percentages, time intervals."""
