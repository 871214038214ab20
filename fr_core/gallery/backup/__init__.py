"""Copies of the store: `take` one, `verify` and `restore` it.

`files` and `saved` are what lies in a copy, `staged` is how it comes there whole.
"""
