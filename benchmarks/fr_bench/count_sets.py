"""Detection: photos with a known number of faces, and files that must be refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from fr_bench.values import Measure, Outcome
from fr_core.errors import InputRefused
from fr_core.imaging import KNOWN_FORMATS, ImageLimits, decode
from fr_core.scoring.intervals import rate
from fr_datasets.values import CountedPhoto, CountedSet
from fr_evaluation.photos import CountedFaces, Photos

# The set holds one file of 29 million pixels, and formats that a server does not accept unless it is told to.
WIDE_LIMITS = ImageLimits(max_bytes=64 * 1024 * 1024, max_pixels=40_000_000, formats=tuple(sorted(KNOWN_FORMATS)))


def count_nonface(parts: Iterable[CountedSet], photos: Photos) -> tuple[Outcome, ...]:
    """How many photos without a face show a detection all the same, within the default limits."""
    return tuple(_nonface(part, _count(part, photos)) for part in parts)


def count_groups(group: CountedSet, photos: Photos) -> tuple[Outcome, ...]:
    """How many group photos are counted exactly, within the default limits."""
    counted = _count(group, photos)
    wrong = [_note(photo, found) for photo, found in counted if not as_expected(photo, found)]
    right = len(counted) - len(wrong)
    label = "photos with exactly the right count"
    measure = Measure("photos_counted_right", label, right, rate(right, len(counted)))
    return (Outcome(group.name, (measure,), tuple(wrong)),)


def count_odd_formats(odd: CountedSet, photos: Photos) -> tuple[Outcome, ...]:
    """How many odd files give another answer than they should, in `WIDE_LIMITS`; and what the default limits refuse."""
    counted = _count(odd, photos, WIDE_LIMITS)
    wrong = [_note(photo, found) for photo, found in counted if not as_expected(photo, found)]
    refused = Counter(_refusal(photo, ImageLimits()) for photo in odd.photos)
    del refused[""]
    n, total = len(counted), refused.total()
    measures = (
        Measure("files_not_as_expected", "files with another answer than expected", len(wrong), rate(len(wrong), n)),
        Measure("refused_by_default", "files that the default limits refuse", total, rate(total, n)),
    )
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(refused.items()))
    notes = (
        f"Limits widened to {WIDE_LIMITS.max_pixels / 1e6:.0f} MP, {WIDE_LIMITS.max_bytes >> 20} MiB "
        f"and the formats {', '.join(WIDE_LIMITS.formats)}.",
        f"Refused by the default limits: {reasons}.",
        *wrong,
    )
    return (Outcome(odd.name, measures, notes),)


def as_expected(photo: CountedPhoto, found: CountedFaces) -> bool:
    """Return whether a photo was counted as one of its right counts, or refused where it must be."""
    if photo.must_be_refused:
        return bool(found.refusal)
    return not found.refusal and found.found in photo.counts


def _count(
    counted: CountedSet, photos: Photos, limits: ImageLimits | None = None
) -> list[tuple[CountedPhoto, CountedFaces]]:
    found = photos.count([photo.path for photo in counted.photos], limits or ImageLimits())
    return list(zip(counted.photos, found, strict=True))


def _nonface(part: CountedSet, counted: Sequence[tuple[CountedPhoto, CountedFaces]]) -> Outcome:
    detected = [_note(photo, found) for photo, found in counted if found.found]
    refused = [_note(photo, found) for photo, found in counted if found.refusal]
    n = len(counted)
    measures = (
        Measure("photos_with_detections", "photos with a detection", len(detected), rate(len(detected), n)),
        Measure("photos_refused", "photos refused", len(refused), rate(len(refused), n)),
    )
    return Outcome(part.name, measures, (*detected, *refused))


def _note(photo: CountedPhoto, found: CountedFaces) -> str:
    expected = "a refusal" if photo.must_be_refused else " or ".join(str(count) for count in photo.counts)
    return f"{photo.path.name}: expected {expected}, got {found.refusal or found.found}."


def _refusal(photo: CountedPhoto, limits: ImageLimits) -> str:
    """The reason why a file is refused within `limits`; empty where it is not."""
    try:
        decode(photo.path.read_bytes(), limits)
    except InputRefused as refusal:
        return refusal.reason
    return ""
