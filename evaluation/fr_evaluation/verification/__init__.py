"""Verification: pairs of photos compared. `run` runs it, `compare` and `figures` compute, the others tell."""
