"""A whole gallery: `blocks` go through it, `duplicates` and `clusters` (by `linkage`) tell what they found.

`equal` finds vectors that are the same, which need to be searched for once only.
"""
