"""Keeps the stores in a PostgreSQL database, a schema for each kind: the only code that imports psycopg.

* `address` reads the address of a server, `sql` translates the statements of the stores, `link` runs them over a
  connection, `pipeline` sends them and takes the answers, `settings` checks that PostgreSQL is safe and has room;
* `locks` lets servers share a store and write one after another, `readers` is the pool of connections that read;
* `database` implements `protocol.Database`, `writing` its connection that writes, `upkeep` the work that can wait, and
  `header` the facts that a database holds about itself;
* `building` makes a store from the rows of another, `outside` reads one that a server may have open;
* `registry` holds short-lived data that servers share: `leases`, `members`, `grants` and the `shelf`.
"""
