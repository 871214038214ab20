"""The audit: who did what, when and why, in a chain of records that nobody can change unnoticed.

No record holds a photo, a vector or a name: what it may hold is in `values`. Subjects and cases stand in it under
pseudonyms.
"""
