"""Metrics, traces and logs of the server. None holds a photo, a vector, a name or an id."""
