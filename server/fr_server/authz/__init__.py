"""Who may call what: `table` says it, in the terms of `rules`; `guard` lets nobody else in.

`credentials` says who calls. `callers` has the principal of the call, and what it may see; `foreign` makes what it may
not see into what there is not, with the help of `resolving`; `coarse` takes from answers what it may not be told.
`recording` tells the audit.
"""
