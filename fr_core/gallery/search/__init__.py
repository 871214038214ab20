"""Search: from probes to candidates, at one version of store and index.

`memory` is the index of a gallery and whose its templates are, built and looked after by `upkeep`. `searching` holds it
and the store at one version, and searches: `filters` say among whom, `sharing` makes one pass of searches that come
together, `ranking` makes candidates of what it found.
"""
