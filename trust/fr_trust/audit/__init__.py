"""Searches, exports and prunes the audit of a store."""
