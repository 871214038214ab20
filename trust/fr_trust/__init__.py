"""Trust: who may do what, and proof of what was done.

* `access` has roles, scopes, budgets and API keys; `audit` searches, exports and prunes the records of all stores;
* `casework` has cases, examinations and findings; `evidence` makes and verifies bundles of them.

Everything here knows no network. The records of the audit themselves lie in `fr_core.storage.audit`, below every store.
"""
