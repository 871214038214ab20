"""The values of an evidence bundle, beside the case and its examinations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias

from fr_core.scoring.intervals import Rate
from fr_trust.casework.values import Examination


class Photo(Protocol):
    """The bytes of a photo, which need not be in memory; `bytes` are one."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice, /) -> bytes: ...


class Bound(StrEnum):
    """Tells an exact likelihood ratio from the limit that a calibration can show."""

    EXACT = ""
    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures that a calibration gives one similarity; unknown ones are None."""

    false_match: Rate | None = None  # of comparisons of different people, those as similar as this or more; Hd
    false_non_match: Rate | None = None  # of comparisons of one person, those less similar than this; Hp
    # Decimal logarithm of the likelihood ratio: how much more probable the similarity is where both photos show one
    # person than where they show two. It is never the probability that they show one person.
    log10_lr: float | None = None
    bound: Bound = Bound.EXACT  # of the likelihood ratio
    in_range: bool = True  # whether the calibration has comparisons that are as similar


@dataclass(frozen=True, slots=True)
class Exhibit:
    """An examination, with what else is known of it."""

    examination: Examination  # with its photos
    # The processing of the photos, as JSON: "probe", and the candidates by their ranks; with the decoding (size,
    # orientation, colour), detection box, landmarks, the similarity transform to the 112 x 112 crop, quality and the
    # model.
    derivations: Mapping[str, object] = field(default_factory=dict)
    # The calibration's figures of candidates, by template_id.
    figures: Mapping[int, Figures] = field(default_factory=dict)
    measured_on: str = ""  # where the calibration was measured, in words; "" where there is none
    # The probe as 0, and kept ones of candidates by their places from 1; None = they are in the examination.
    photos: Mapping[int, Photo] | None = field(default=None, repr=False)

    def photo(self, place: int) -> Photo:
        """Return the probe (0) or the photo of a candidate by its place from 1; b"" where none is kept."""
        if self.photos is not None:
            return self.photos.get(place, b"")
        return self.examination.candidates[place - 1].photo if place else self.examination.probe


@dataclass(frozen=True, slots=True)
class AuditExtract:
    """The audit from before the case was opened."""

    lines: bytes = field(repr=False)  # as `fr_trust.audit.export.export` gives them
    # Canonical JSON of a checkpoint of the same chain, of a record that the lines hold or an earlier one.
    checkpoint: bytes = field(repr=False)
    public_key: str  # of the chain, as PEM
    records: int  # how many the lines tell
    withheld: int  # how many more stand in them by their hashes alone
    searches: int  # of how many searches of the case they tell


@dataclass(frozen=True, slots=True)
class AuditVerified:
    """An audit that is whole and agrees with the bundle."""

    chain_id: str
    records: int  # how many the bundle holds
    seq: int  # number of the last
    key_id: str  # 16 hexadecimal digits of the key that signed it
    by_expected_key: bool  # whether that is the key that was expected; false where none was
    withheld: int  # how many more stand in it by their hashes alone: of other cases, as the signer of the bundle says


Audited: TypeAlias = AuditExtract | AuditVerified
"""Says how much a bundle holds of the audit: `records`, and `withheld`."""
