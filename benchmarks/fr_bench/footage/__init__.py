"""Measures footage with known people, made or of a data set: `fr bench video`."""
