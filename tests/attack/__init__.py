"""The attack kit: kills, faults, load and nonsense against a real responder; the target's own ledger is the judge."""
