"""Keeps the stores in a PostgreSQL database, a schema for each kind: the only code that imports psycopg.

* `sql` translates the statements of the stores, `link` runs them over a connection, `pipeline` sends them and takes
  the answers, `settings` says which servers are safe to use;
* `locks` lets one server have the galleries, `readers` is the pool of connections that read;
* `database` implements `protocol.Database`, `writing` its connection that writes, `upkeep` what can wait, and `header`
  what a database says of itself;
* `building` makes a store from the rows of another, `outside` looks at one that a server may have open;
* `registry` has what several servers share for a while: `leases` and `members`.
"""
