"""Access: roles, scopes, API keys and their store, budgets. It knows no network.

* `roles`, `scope`, `budget` and `principal` are the values that say what a caller may do;
* `budgets` counts what a caller does, in one process, and `shared_budgets` in all that share a database;
* `keys` has the API keys and their secrets, and decides who may see, hand out and revoke which key;
* `refusals` says why a credential is refused, which the caller is not told;
* `store` keeps the keys, encrypted and shared by several processes: `schema` has its tables and rows, `changes` what
  changes them, `key_cache` the keys in memory, and `trusted_clock` the time that keys expire by.
"""
