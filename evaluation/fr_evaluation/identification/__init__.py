"""Identification: half of the people enrolled, all others searched for. `run` runs it, `searches` and `figures`
compute, the others tell.
"""
