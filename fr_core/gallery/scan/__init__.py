"""A whole gallery: `blocks` go through it, `duplicates` and `clusters` (by `linkage`) tell what they found."""
