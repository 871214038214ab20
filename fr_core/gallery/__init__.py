"""Galleries: the durable truth, the index derived from it, and search. The door is `galleries.Galleries`.

What to open for what is to be changed:

* **rules and values**: `values`, `checks`, `pages`, `purging`, `changes` (what can be done, each in one transaction);
* **the truth**: `store` (the protocol), `sqlite_*`, `schema` and `upgrade` (tables and versions), `clean_pages`,
  `folder`, `writer` (the one thread that writes);
* **keys and ciphers**: `keys` (from outside), `vault` (of the store), `vectors`;
* **indexes**: `index` (the protocol), `indexes` (the register), `numpy_scan` (the reference), `faiss_*`, `growing`;
* **search**: `memory` (an index and whose its templates are), `loading`, `views` (store and memory at one version),
  `searching`, `query`, `filters`, `ranking`, `sharing`, `upkeep`;
* **a whole gallery**: `scan`, `duplicates`, `clusters`, `linkage`;
* **copies**: `backup`, `backup_files`, `saved`, `restore`, `staged`, `verify`.
"""
