"""Keeps the stores of FR Core in folders or in PostgreSQL: durable, encrypted and audited.

* `schema` describes a kind of store, `migrations` makes and updates it, `store` is the base of shared stores;
* `location` names where a store lies, `opening` opens its database: `database` in a folder, or one in `postgres`;
* `outside` looks at a store that another process may have open, `moving` copies one to the other kind of place;
* `statements` reads and writes in a transaction, `writer` commits jobs in groups;
* `vault` has keys, ciphers and MACs, `keys` the key-encryption key, `marks` the seal that last served a store;
* `members`, `leases`, `duties`, `terms`, `grants` and `shelf` are what several servers share;
* `pool` tells of connections to a database;
* `data_folder` holds the folder, `durable` writes files that survive a power cut;
* `connection`, `log_copier`, `checkpoint_vfs`, `clean_pages` and `sqlite_*` are about SQLite alone;
* `protocol` says what both databases do, `dialect` how their SQL differs; `audit` has the audit records.
"""
