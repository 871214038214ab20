"""Words for the faults of an audit chain, for the commands of the client and of the server."""

from __future__ import annotations

from collections.abc import Mapping

# By `fr_core.storage.audit.verify.Why` -> the sentence after "Chain C:"; {seq} is the number of the record.
FINDINGS: Mapping[str, str] = {
    "edited": "record {seq} was changed.",
    "missing": "record {seq} was removed.",
    "inserted": "record {seq} was inserted.",
    "out_of_order": "record {seq} is in the wrong place.",
    "truncated": "the records from {seq} on are missing from the end.",
    "head_altered": "its stated end was changed, at record {seq}.",
    "prune_altered": "its pruning mark was changed; see record {seq}.",
    "malformed": "the entry in the place of record {seq} is not a valid record.",
    "rewritten": "record {seq} differs from the record that the checkpoint signs: the chain was rewritten.",
    "checkpoint_forged": "the signature of the checkpoint for record {seq} is invalid.",
    "other_key": "the checkpoint for record {seq} is signed by a different key, not by the key of the chain.",
}
