"""Refusals of embeddings."""

from __future__ import annotations

from fr_core.errors.base import InputRefused


class EmbeddingWrongSize(InputRefused):
    """The embedding has a different number of values than the model's embeddings."""

    reason = "EMBEDDING_WRONG_SIZE"
    remedy = "Send the embedding as this server's model returned it."


class EmbeddingNotFinite(InputRefused):
    """The embedding holds NaN or an infinity."""

    reason = "EMBEDDING_NOT_FINITE"
    remedy = "Send the embedding as this server's model returned it."


class EmbeddingNotUnit(InputRefused):
    """The embedding does not have length one."""

    reason = "EMBEDDING_NOT_UNIT"
    remedy = "Divide the embedding by its Euclidean length; a vector of zeros is no embedding."


class ModelMismatch(InputRefused):
    """Two embeddings, or an embedding and a gallery, come from different models."""

    reason = "MODEL_MISMATCH"
    remedy = "Compare embeddings of one model only: embed the photo again with the right model."
