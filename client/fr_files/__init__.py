"""Reads and writes files safely, for every package; needs only Python."""
