"""Decides who may call which method: `table` lists it, in the terms of `rules`.

`authenticate` says who calls, with an API key or one of the `tokens` whose keys `jwks` reads. `authorize` says what
they may do: `scope` replaces ids that they may not know, and `score_rounding` removes what they may not be told.
`record` and `access_audit` tell the audit what `authorize` reads from requests and answers. `callers` has the
principal of the call, and the entries of lists that it sees. The guard, an interceptor, applies all this.
"""
