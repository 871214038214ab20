"""Refusals of requests and of embeddings."""

from fr_core.errors.base import InputRefused


class EmbeddingWrongSize(InputRefused, reason="EMBEDDING_WRONG_SIZE"):
    """The embedding has a different number of values than the model's embeddings."""


class EmbeddingNotFinite(InputRefused, reason="EMBEDDING_NOT_FINITE"):
    """The embedding holds NaN or an infinity."""


class EmbeddingNotUnit(InputRefused, reason="EMBEDDING_NOT_UNIT"):
    """The embedding does not have length one."""


class ModelMismatch(InputRefused, reason="MODEL_MISMATCH"):
    """Two embeddings, or an embedding and a gallery, come from different models."""


class MissingField(InputRefused, reason="MISSING_FIELD"):
    """A required field is not set."""


class InvalidField(InputRefused, reason="INVALID_FIELD"):
    """A field has a value that is not allowed."""


class InvalidIdentifier(InputRefused, reason="INVALID_IDENTIFIER"):
    """A gallery or subject id is empty, too long, or has characters that are not allowed in an id."""


class InvalidTopK(InputRefused, reason="INVALID_TOP_K"):
    """The number of candidates is zero or over the limit."""


class InvalidThreshold(InputRefused, reason="INVALID_THRESHOLD"):
    """The threshold is not a number from -1 to 1."""


class InvalidFilter(InputRefused, reason="INVALID_FILTER"):
    """The filter of a search holds no condition, too many, or a key of metadata that no subject has."""


class InvalidPage(InputRefused, reason="INVALID_PAGE"):
    """The page size is out of range, or this call did not return the page token."""
