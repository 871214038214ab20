"""Measurements: accuracy, latency, throughput."""
