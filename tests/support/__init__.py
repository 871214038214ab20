"""Helps the tests: servers, galleries, photos, courses and faults that several of them need."""
