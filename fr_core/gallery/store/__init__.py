"""The store: the durable truth, in SQLite, encrypted. `protocol` says what it does.

* `sqlite_store` opens it; `sqlite_snapshot` reads, `sqlite_transaction` writes, `sqlite_rows` turns rows into values;
* `known` finds what callers name by ids;
* `schema` has the tables, `upgrade` brings those of older versions up to date;
* `connection` opens a database with its settings, `durable` makes files survive a power cut;
* `sqlite_check` and `sqlite_log` find damage; `checkpoint_vfs` and `clean_pages` leave nothing in pages and logs;
* `keys` come from outside, `vault` encrypts under them, `vectors` are bytes there; `folder` is where all of it lies.
"""
