"""Keeps the documented import `from fr_client.training import Training`."""

from fr_client.sync.training import Training as Training
