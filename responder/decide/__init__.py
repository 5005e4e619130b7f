"""From a delivery to decisions and runs: correlate, select, guard."""
