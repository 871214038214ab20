"""Data sets and photos that can be fetched, by manifest; no image lies in this package."""
