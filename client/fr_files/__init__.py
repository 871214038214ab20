"""Reads and writes files safely, and words what every package finds in them; needs only Python."""
