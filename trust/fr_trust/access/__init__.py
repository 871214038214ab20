"""Access: roles, scopes, API keys and their store, budgets. It knows no network.

* `roles`, `scope`, `budget` and `principal` are the values that say what somebody may do;
* `budgets` counts what somebody does;
* `keys` has the API keys and their secrets, `refusals` says why a credential is refused, which the caller is not told;
* `key_rules` decides who may see, hand out and revoke which key;
* `store` keeps the keys, encrypted and shared by several processes: `schema` has its tables, `rows` what is in them,
  `ring` the keys in memory, never older than the database, and `seen` the time that keys expire by.
"""
