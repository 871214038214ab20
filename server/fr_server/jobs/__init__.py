"""Runs a server's work beside its calls."""
