"""From a run to its effects: one turn at a time, recorded before applied."""
