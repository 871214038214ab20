"""The store: the durable truth, in SQLite, encrypted. `protocol` says what it does.

* `sqlite_store` opens it; `sqlite_snapshot` reads, `sqlite_transaction` writes, `sqlite_rows` turns rows into values;
* `known` finds what callers name by ids;
* `schema` has the tables, `upgrade` brings those of older versions up to date;
* `connection` opens a database with its settings, `durable` makes files survive a power cut;
* `sqlite_check` and `sqlite_log` find damage, `log_format` reads frames of a log;
* `checkpoint_vfs` copies logs, also after a sync that failed, and leaves nothing behind in pages (`clean_pages`);
* `keys` come from outside, `vault` encrypts under them, `vectors` are bytes there; `folder` is where all of it lies.
"""
