"""Refusals of requests and of embeddings."""

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
    remedy = "Divide the embedding by its Euclidean length; a vector of zeros is not an embedding."


class ModelMismatch(InputRefused):
    """Two embeddings, or an embedding and a gallery, come from different models."""

    reason = "MODEL_MISMATCH"
    remedy = "Compare embeddings of one model only: embed the photo again with the right model."


class MissingField(InputRefused):
    """A required field is not set."""

    reason = "MISSING_FIELD"
    remedy = "Set the field and call again."


class InvalidField(InputRefused):
    """A field has a value that is not allowed."""

    reason = "INVALID_FIELD"
    remedy = "Set the field to a value that its documentation allows."


class InvalidIdentifier(InputRefused):
    """A gallery or subject id is empty, too long, or has characters that are not allowed in an id."""

    reason = "INVALID_IDENTIFIER"
    remedy = "Use 1 to 128 printable characters without spaces at either end; for a gallery a-z, 0-9, - and _."


class InvalidTopK(InputRefused):
    """The number of candidates is zero or over the limit."""

    reason = "INVALID_TOP_K"
    remedy = "Ask for at least 1 candidate and at most the limit, or leave the field unset for the default."


class InvalidThreshold(InputRefused):
    """The threshold is not a number from -1 to 1."""

    reason = "INVALID_THRESHOLD"
    remedy = "Send a number from -1 to 1, or leave the field unset for the model's default."


class InvalidFilter(InputRefused):
    """The filter of a search holds no condition, too many, or a key of metadata that no subject has."""

    reason = "INVALID_FILTER"
    remedy = "Name keys that subjects of this gallery have; leave the filter out to search all subjects."


class InvalidPage(InputRefused):
    """The page size is out of range, or this call did not return the page token."""

    reason = "INVALID_PAGE"
    remedy = "Send the token exactly as the previous page returned it, with a page size within the limit."
