"""Measures how many mates an approximate index of Milvus loses, on the gallery's own vectors."""

import logging

import numpy as np

from fr_core.gallery.index.milvus_link import Collection
from fr_core.gallery.index.milvus_state import MilvusState
from fr_core.gallery.index.protocol import F64, exact_similarity
from fr_core.types import F32, I64

_log = logging.getLogger(__name__)

# Templates that are searched for, each with a probe at a distance that two photos of one person may have.
_TEMPLATES = 200
_COSINE = 0.4
_TOP = 20


def told_loss(state: MilvusState, collection: Collection, live: I64) -> None:
    """Log how many mates the index of a collection loses, of templates i64[n] of the gallery."""
    rng = np.random.default_rng(0)
    ids, vectors = state.truth(np.sort(rng.choice(live, min(_TEMPLATES, len(live)), replace=False)))
    if len(ids) and state.dimension > 1:
        turned = state.turn.turned(probes := probes_beside(rng, vectors))
        lost = _lost(ids, vectors, probes, collection.search(turned, _TOP, None))
        _log.warning(
            "%s is approximate: of %d templates of this gallery, %d were not found among the best %d although they "
            "belong there",
            state.settings.kind,
            len(ids),
            lost,
            _TOP,
        )


def probes_beside(rng: np.random.Generator, vectors: F32) -> F32:
    """Return a probe for each of vectors f32[n, D], at a cosine of .4 in a random direction; D >= 2."""
    aside = rng.standard_normal(vectors.shape)
    aside -= np.vecdot(aside, vectors)[:, None] * vectors
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    probes = _COSINE * vectors + np.sqrt(1.0 - _COSINE**2) * aside
    beside: F32 = (probes / np.linalg.norm(probes, axis=1, keepdims=True)).astype(np.float32)
    return beside


def _lost(ids: I64, vectors: F32, probes: F32, answers: list[tuple[I64, F64]]) -> int:
    """Count the mates that score above the last of the best `_TOP` that were found, and are not among these."""
    lost = 0
    for number, mated, (found, scores) in zip(ids, exact_similarity(vectors, probes), answers, strict=True):
        lost += number not in found and (len(found) < _TOP or mated > scores[-1])
    return lost
