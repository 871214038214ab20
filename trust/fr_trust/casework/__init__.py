"""Casework: what human examiners make of the leads of searches.

The modules, from the inside out: `values` (cases, examinations, findings), `rules` (who may give a finding, and what an
examination concludes; no store, no clock), `codec` (as JSON, and the digests that the audit holds of them), `store`
(durable, encrypted, shared by processes): `store_schema` has its tables and rows, `store_reading` what is read, and
`store_changes` what is changed.
"""
