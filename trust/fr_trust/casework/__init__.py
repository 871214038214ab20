"""Casework: what human examiners make of the leads of searches.

The rooms, from the inside out: `values` (cases, examinations, findings), `rules` (who may give a finding, and what an
examination concludes; no store, no clock), `codec` (as JSON, and the digests that the audit holds of them), `store`
(durable, encrypted, shared by processes). Of the store, `store_schema` has the tables, `store_rows` what is in them,
`store_roll` the knowledge of which rows there are, `store_reading` what is read, `store_changes` what is changed, and
`store_clearing` takes away what is left of deleted cases.
"""
