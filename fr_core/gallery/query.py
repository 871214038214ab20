"""The options of a search beside the probe: the subjects to search, and the fusion of their templates' similarities."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MAX_FILTER_SUBJECTS = 100_000


class ScoreFusion(StrEnum):
    """The rule that fuses the similarities of a subject's templates into the one by which it is ranked.

    `MEAN_TOP_2` and `MEAN_TEMPLATE` rank the subjects of the templates that are most similar to the probe: at least the
    best 1,000, and four for each candidate that is asked for.
    """

    MAX = "max"
    """The best of them."""

    MEAN_TOP_2 = "mean-top-2"
    """The mean of the best two; of a subject with one template, its similarity."""

    MEAN_TEMPLATE = "mean-template"
    """The similarity of the mean of its templates, brought to length 1."""


@dataclass(frozen=True, slots=True)
class SubjectFilter:
    """The subjects to search: those that meet every condition, as if the gallery held no others."""

    metadata: Mapping[str, str] = field(default_factory=dict)  # pairs that the subject's metadata must hold
    # The only subjects, `MAX_FILTER_SUBJECTS` at most; None = no such condition.
    subject_ids: tuple[str, ...] | None = None
