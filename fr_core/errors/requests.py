"""Refusals of requests and of embeddings."""

from __future__ import annotations

from fr_core.errors.base import InputRefused
from fr_locales.messages import message


class EmbeddingWrongSize(InputRefused):
    """The embedding has a different number of values than the model's embeddings."""

    reason = "EMBEDDING_WRONG_SIZE"
    remedy = message("remedy.embedding_wrong_size")


class EmbeddingNotFinite(InputRefused):
    """The embedding holds NaN or an infinity."""

    reason = "EMBEDDING_NOT_FINITE"
    remedy = message("remedy.embedding_not_finite")


class EmbeddingNotUnit(InputRefused):
    """The embedding does not have length one."""

    reason = "EMBEDDING_NOT_UNIT"
    remedy = message("remedy.embedding_not_unit")


class ModelMismatch(InputRefused):
    """Two embeddings, or an embedding and a gallery, come from different models."""

    reason = "MODEL_MISMATCH"
    remedy = message("remedy.model_mismatch")


class MissingField(InputRefused):
    """A required field is not set."""

    reason = "MISSING_FIELD"
    remedy = message("remedy.missing_field")


class InvalidField(InputRefused):
    """A field has a value that is not allowed."""

    reason = "INVALID_FIELD"
    remedy = message("remedy.invalid_field")


class InvalidIdentifier(InputRefused):
    """A gallery or subject id is empty, too long, or has characters that are not allowed in an id."""

    reason = "INVALID_IDENTIFIER"
    remedy = message("remedy.invalid_identifier")


class InvalidTopK(InputRefused):
    """The number of candidates is zero or over the limit."""

    reason = "INVALID_TOP_K"
    remedy = message("remedy.invalid_top_k")


class InvalidThreshold(InputRefused):
    """The threshold is not a number from -1 to 1."""

    reason = "INVALID_THRESHOLD"
    remedy = message("remedy.invalid_threshold")


class InvalidFilter(InputRefused):
    """The filter of a search holds no condition, too many, or a key of metadata that no subject has."""

    reason = "INVALID_FILTER"
    remedy = message("remedy.invalid_filter")


class InvalidPage(InputRefused):
    """The page size is out of range, or this call did not return the page token."""

    reason = "INVALID_PAGE"
    remedy = message("remedy.invalid_page")
