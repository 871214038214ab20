"""Refusals of requests and of embeddings."""

from fr_core.errors.base import InputRefused


class EmbeddingWrongSize(InputRefused):
    """The embedding has a different number of values than the model's embeddings."""

    reason = "EMBEDDING_WRONG_SIZE"


class EmbeddingNotFinite(InputRefused):
    """The embedding holds NaN or an infinity."""

    reason = "EMBEDDING_NOT_FINITE"


class EmbeddingNotUnit(InputRefused):
    """The embedding does not have length one."""

    reason = "EMBEDDING_NOT_UNIT"


class ModelMismatch(InputRefused):
    """Two embeddings, or an embedding and a gallery, come from different models."""

    reason = "MODEL_MISMATCH"


class MissingField(InputRefused):
    """A required field is not set."""

    reason = "MISSING_FIELD"


class InvalidField(InputRefused):
    """A field has a value that is not allowed."""

    reason = "INVALID_FIELD"


class InvalidIdentifier(InputRefused):
    """A gallery or subject id is empty, too long, or has characters that are not allowed in an id."""

    reason = "INVALID_IDENTIFIER"


class InvalidTopK(InputRefused):
    """The number of candidates is zero or over the limit."""

    reason = "INVALID_TOP_K"


class InvalidThreshold(InputRefused):
    """The threshold is not a number from -1 to 1."""

    reason = "INVALID_THRESHOLD"


class InvalidFilter(InputRefused):
    """The filter of a search holds no condition, too many, or a key of metadata that no subject has."""

    reason = "INVALID_FILTER"


class InvalidPage(InputRefused):
    """The page size is out of range, or this call did not return the page token."""

    reason = "INVALID_PAGE"
