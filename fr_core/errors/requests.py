"""Refusals of what a call asks for."""

from __future__ import annotations

from fr_core.errors.base import InputRefused


class MissingField(InputRefused):
    """A field that the call needs was not set."""

    reason = "MISSING_FIELD"
    remedy = "Set the field and call again."


class InvalidField(InputRefused):
    """A field holds a value that it cannot have."""

    reason = "INVALID_FIELD"
    remedy = "Set the field to a value that its documentation allows."


class InvalidIdentifier(InputRefused):
    """A gallery or subject id is empty, too long, or holds characters that an id cannot have."""

    reason = "INVALID_IDENTIFIER"
    remedy = "Use 1 to 128 printable characters without spaces at either end; for a gallery a-z, 0-9, - and _."


class InvalidTopK(InputRefused):
    """The number of candidates asked for is zero or beyond the limit."""

    reason = "INVALID_TOP_K"
    remedy = "Ask for 1 candidate up to the limit, or leave the field unset for the default."


class InvalidThreshold(InputRefused):
    """The threshold is not a number from -1 to 1."""

    reason = "INVALID_THRESHOLD"
    remedy = "Send a number from -1 to 1, or leave the field unset for the model's default."


class InvalidFilter(InputRefused):
    """The filter of a search holds no condition, too many, or a key of metadata that no subject has."""

    reason = "INVALID_FILTER"
    remedy = "Name keys that subjects of this gallery have; leave the filter out to search everybody."


class InvalidPage(InputRefused):
    """The page size is out of range, or the page token is not one that this call returned."""

    reason = "INVALID_PAGE"
    remedy = "Send the token exactly as the previous page returned it, with a page size within the limit."
