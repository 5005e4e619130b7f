"""One thin client per outside system, imported on first use; library errors are translated here."""
