"""Conversions between messages of the API and values of the core, each in one place."""
