"""Galleries: the durable truth, the index derived from it, and search."""
