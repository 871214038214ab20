"""The names of the sets that `fr evaluate` knows, apart from everything heavy."""

from __future__ import annotations

from enum import StrEnum


class SetName(StrEnum):
    """A set of labelled photos, by the name of its folder in the test data; evaluated in this order."""

    LFW = "lfw"
    CELEBA_WILD = "celeba_wild"
    DEEPFACE = "deepface"
    NONFACE = "nonface"
    GROUPS = "groups"
    ODD_FORMATS = "odd_formats"
