"""The encrypted SQLite store that several processes have open at once, whatever is kept in it.

* `schema` says what a store is: its name, its file, the steps that make and change its tables, its wrapped keys;
* `seals` encrypts and authenticates rows, `rows` reads what they hold; `folder` has the locks; `upgrade` makes a store,
  and brings an older one up to date;
* `database` has the connections, `writer` the one thread of a process that writes, in groups.
"""
