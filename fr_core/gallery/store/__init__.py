"""Keeps the galleries: the durable truth, encrypted, on `fr_core.storage`.

* `gallery_store` opens it; `snapshot` reads, `transaction` writes, `rows` and `template_codec` convert rows to values;
* `schema` has the tables and brings older stores up to date, `integrity` checks all of a store;
* `known` finds galleries, subjects and templates by the ids of callers.
"""
