"""Galleries: the durable truth, the index derived from it, and search. The door is `galleries.Galleries`.

What to open for what is to be changed:

* **rules and values**: `values`, `query`, `checks`, `pages`;
* **what can be done**: `changes` (each in one transaction), `writer` (the one thread that writes), `purging`;
* **the truth**: `store`, with its keys and ciphers;
* **the vectors in memory**: `index`;
* **search**: `search`, of one or a few probes; `scan`, of everybody for everybody;
* **copies**: `backup`.
"""
