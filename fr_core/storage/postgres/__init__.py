"""Keeps the stores in a PostgreSQL database, a schema for each kind: the only code that imports psycopg.

* `sql` translates the statements of the stores, `link` runs them, `settings` says which servers are safe to use;
* `locks` lets one server have the galleries, `readers` is the pool of connections that read;
* `database` implements `protocol.Database`, `header` what a database says of itself.
"""
