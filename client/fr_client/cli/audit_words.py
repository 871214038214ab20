"""What is wrong with a chain of the audit, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fr_api.v1 import audit_pb2

# What the server finds, and the sentence that follows "Chain C:"; {seq} is the number of the record.
FINDINGS: Mapping[str, str] = {
    "edited": "record {seq} was changed.",
    "missing": "record {seq} was taken out.",
    "inserted": "record {seq} was put in.",
    "out_of_order": "record {seq} stands in another's place.",
    "truncated": "the records from {seq} on were cut off.",
    "head_altered": "how far it goes was changed, at record {seq}.",
    "prune_altered": "the mark of its pruning was changed: see record {seq}.",
    "malformed": "what stands in the place of record {seq} is no record.",
    "rewritten": "record {seq} is another than the one that the checkpoint signs: it was written anew.",
    "checkpoint_forged": "the checkpoint of record {seq} is not signed by the key of the chain.",
    "other_key": "the checkpoint of record {seq} is signed by another key than that of the chain.",
}
_NEWER = "record {seq} is not as it was written."


def faults(verdicts: Sequence[audit_pb2.ChainVerdict], given: Mapping[str, int]) -> list[str]:
    """Return a sentence for each chain that is not known to be as it was written.

    Args:
        verdicts: of the server.
        given: how many checkpoints of each chain it was given: one that it did not look at proves nothing.
    """
    found = []
    for one in verdicts:
        if not one.intact:
            found.append(f"Chain {one.chain}: {FINDINGS.get(one.finding, _NEWER).format(seq=one.seq)}")
        elif one.checkpoints < given.get(one.chain, 0):
            looked = f"{one.checkpoints} of {given[one.chain]} checkpoints"
            found.append(f"Chain {one.chain}: the server looked at {looked}.")
    told = {one.chain for one in verdicts}
    found += [f"Chain {chain}: the server has no such chain any more." for chain in sorted(given.keys() - told)]
    return found
