"""Measurements of speed: the pipeline, the server and the search, beside a peer in the same run."""
