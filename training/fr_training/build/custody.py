"""Makes the custody of evidence exercises: an export of an audit in the product's own format, broken on purpose.

The chain, its records, its checkpoint and its key are those that the server writes, so that `fr audit file verify` and
`fr_trust.audit.export.verify_export` judge it as they would judge a real one. Nothing in it happened: names of actors
and times are made up, and the original is the picture of the exercise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fr_core.storage.audit.chain import Kept, first_hash, next_hash
from fr_core.storage.audit.checkpoints import make_checkpoint, public_pem
from fr_core.storage.audit.values import VERSION, Entry, canonical, decode, encode
from fr_core.types import U8
from fr_training.courses import Item
from fr_training.keys import EvidenceKey
from fr_training.prompts import Evidence
from fr_trust.audit.export import checkpoint_line, record_line

_BEGAN_MS = 1_767_603_600_000  # 2026-01-05, 09:00 UTC
_MINUTE_MS = 60_000
_ACTORS = ("key:operator", "key:operator", "key:operator", "key:examiner-1", "key:examiner-2", "key:operator")
_ACTIONS = ("case.open", "case.search", "case.derive", "case.finding", "case.finding", "case.export")


def with_custody(item: Item, picture: bytes, pixels: U8) -> Item:
    """An item with its task and its key: u8[H, W, 3], RGB, are the pixels of the picture, a JPEG file.

    All of it follows from the item and the picture, so that the same course is made again. The signing key is no
    secret: it signs nothing but this exercise.
    """
    if not isinstance(item.key, EvidenceKey):
        raise TypeError("the item is no evidence exercise")
    original = hashlib.sha256(picture)
    box = _box(original.digest(), pixels.shape[1], pixels.shape[0])
    key = replace(item.key, original=original.hexdigest(), crop=crop_sha256(pixels, box))
    signing_key, chain_id = _drawn(key, "key"), _drawn(key, "chain").hex()[:32]
    removed = int(item.item_id[:2], 16) % 2 == 1
    lines = _lines(_chain(chain_id, key, _entries(key, box)), chain_id, signing_key, key.broken, removed=removed)
    public = public_pem(Ed25519PrivateKey.from_private_bytes(signing_key).public_key())
    return replace(item, key=key, asked=Evidence(box, b"".join(lines).decode(), public))


def crop_sha256(pixels: U8, box: Sequence[int]) -> str:
    """The sha256 of a crop as a file: portable pixmap (Netpbm, P6) of 8 bits, as Pillow and ImageMagick write it."""
    x, y, width, height = box
    crop = pixels[y : y + height, x : x + width]
    return hashlib.sha256(b"P6\n%d %d\n255\n" % (width, height) + crop.tobytes()).hexdigest()


def _box(digest: bytes, width: int, height: int) -> tuple[int, int, int, int]:
    """The middle of the picture, moved by a few pixels that follow from it: no two crops are alike by habit."""
    x, y, less_width, less_height = (byte % 16 for byte in digest[:4])
    return width // 4 + x, height // 4 + y, width // 2 - less_width, height // 2 - less_height


def _entries(key: EvidenceKey, box: Sequence[int]) -> list[Entry]:
    crop = {"of_sha256": key.original, "operation": "crop", "box": ",".join(map(str, box)), "sha256": key.crop}
    details: list[Mapping[str, str]] = [
        {"case_id": "training"},
        {"image_sha256": key.original},
        crop,
        {"result": "inconclusive"},
        {"result": "no-candidate"},
        {"files": "3"},
    ]
    return [
        Entry(actor=actor, action=action, outcome="OK", purpose="training", detail=detail)
        for actor, action, detail in zip(_ACTORS, _ACTIONS, details, strict=True)
    ]


def _drawn(key: EvidenceKey, label: str) -> bytes:
    """32 bytes for one use."""
    return hashlib.sha256(f"{label} {key.broken} {key.original}".encode()).digest()


def _chain(chain_id: str, key: EvidenceKey, entries: Sequence[Entry]) -> list[Kept]:
    previous, chain = first_hash(chain_id), []
    for seq, entry in enumerate(entries, start=1):
        body = encode(entry, seq, _BEGAN_MS + seq * 7 * _MINUTE_MS, salt=_drawn(key, f"salt {seq}").hex()[:32])
        previous = next_hash(chain_id, previous, body)
        chain.append(Kept(decode(body), body, previous))
    return chain


def _lines(chain: Sequence[Kept], chain_id: str, signing_key: bytes, broken: int, *, removed: bool) -> list[bytes]:
    """The lines of the export, with the record of that number changed or removed; 0 for a whole chain."""
    lines = [canonical({"v": VERSION, "chain_id": chain_id, "after": 0, "hash": first_hash(chain_id).hex()}) + b"\n"]
    for kept in chain:
        if kept.record.seq != broken:
            lines.append(record_line(kept))
        elif not removed:
            lines.append(record_line(replace(kept, body=_changed(kept))))
    last = chain[-1]
    checkpoint = make_checkpoint(chain_id, last.record.seq, last.hash, last.record.at_ms, signing_key)
    return [*lines, checkpoint_line(checkpoint)]


def _changed(kept: Kept) -> bytes:
    """The body of a record that somebody dated a minute later, and gave to somebody else."""
    record = kept.record
    entry = replace(record, actor="key:operator-2")
    return encode(entry, record.seq, record.at_ms + _MINUTE_MS, salt=record.salt)
