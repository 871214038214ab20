"""Data sets of labelled photos, read from a folder and checked: what is in them, by whose terms; no image lies here."""
