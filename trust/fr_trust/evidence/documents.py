"""The JSON of a bundle: canonical, with sorted keys and no spaces, so that the same is always the same bytes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from fr_core.imaging.containers import sniff
from fr_core.scoring.intervals import Interval, Rate
from fr_core.storage.audit.values import MAX_NUMBER, canonical
from fr_files.reading import read_json
from fr_locales.messages import message
from fr_trust.casework import codec
from fr_trust.casework.rules import examination_conclusion, is_concluded, required_findings
from fr_trust.casework.values import Case, Examination, Finding, Listed, Searched, State
from fr_trust.evidence.archive import unusable
from fr_trust.evidence.values import Bound, Exhibit, Figures

R = TypeVar("R")

FORMAT = 1  # of bundles: what a later one holds is not taken for this

PRODUCT = "fr-core"
MANIFEST, SIGNATURE, PUBLIC_KEY, REPORT = "manifest.json", "manifest.sig", "public.pem", "report.html"
AUDIT, CHECKPOINT, AUDIT_KEY = "audit.jsonl", "checkpoint.json", "audit_public.pem"
UNFINISHED = "unfinished"  # the state of an examination that waits for a finding, whichever

# Part of the format: the check of a bundle compares these words.
WHAT: Mapping[str, str] = {
    PUBLIC_KEY: "the key that signed the manifest",
    REPORT: "the report for people",
    AUDIT: "the records of the audit about the case, and the hashes of what else was recorded meanwhile",
    CHECKPOINT: "how far the audit was at a moment, signed",
    AUDIT_KEY: "the key that signs the audit",
    "probe": "the photo that was searched with, as it was sent",
    "candidates": "a photo of a candidate, as the gallery keeps it",
    "search.json": "what was searched, how, and what was found",
    "derivations.json": "how what was compared was made of the photos",
    "findings.json": "what examiners found, and what follows",
}

NOTED_AT_THE_SEARCH = "noted_at_the_search"
"""Of `derivations.json`: what `search.json` says of them once more, where it is there."""

# The last millisecond that people can write, of the year 9999.
_MAX_TIME_MS = 253_402_300_799_999
_MAX_LOG10 = 300

_EXTENSIONS = {
    "JPEG": "jpg",
    "JPEG2000": "jp2",
    **{name: name.lower() for name in ("AVIF", "BMP", "GIF", "HEIC", "PNG", "TIFF", "WEBP")},
}


@dataclass(frozen=True, slots=True)
class SearchDocument:
    """The contents of `search.json`."""

    examination_id: str
    case_id: str
    salt: str  # of the digest in the audit
    searched: Searched
    candidates: tuple[Listed, ...]
    probe: str  # path of the photo in the folder of the examination
    photos: Mapping[int, str]  # those of candidates, by their places from 1
    figures: Mapping[int, Figures]  # what the calibration says of candidates, by template_id
    measured_on: str  # where the calibration was measured, in words; "" where there is none


@dataclass(frozen=True, slots=True)
class FindingsDocument:
    """The contents of `findings.json`."""

    examination_id: str
    state: str  # "concluded" or "unfinished"
    required_findings: int  # how many it takes where examiners agree; 0 where there is no candidate
    conclusion: tuple[str, int] | None  # kind and template_id, None where it is unfinished
    findings: tuple[Finding, ...]  # all of them, in their order; none where it is unfinished


_SEARCH, _FINDINGS, _FIGURES = map(get_type_hints, (SearchDocument, FindingsDocument, Figures))


def photo_names(examination: Examination) -> dict[int, str]:
    """Return where the photos of an examination lie in its folder: 0 is the probe, n the nth candidate."""
    names = {0: f"probe.{_extension(examination.probe)}"}
    for number, one in enumerate(examination.candidates, 1):
        if one.photo:
            names[number] = f"candidates/{number:02d}.{_extension(one.photo)}"
    return names


def search_document(exhibit: Exhibit) -> bytes:
    """Return `search.json`."""
    own = exhibit.examination
    names = photo_names(own)
    return canonical(
        {
            "format": FORMAT,
            "examination_id": own.examination_id,
            "case_id": own.case_id,
            "salt": own.salt,
            "searched": codec.searched_said(own.searched),
            "candidates": [codec.listed_said(one) for one in own.candidates],
            "probe": names.pop(0),
            "photos": {str(number): name for number, name in names.items()},
            "figures": {str(template_id): _figures(one) for template_id, one in exhibit.figures.items()},
            "measured_on": exhibit.measured_on,
        }
    )


def derivations_document(exhibit: Exhibit) -> bytes:
    """Return `derivations.json`; raises `ValueError` or `TypeError` for what JSON has not."""
    return canonical({"format": FORMAT, "derivations": exhibit.derivations})


def findings_document(examination: Examination) -> bytes:
    """Return `findings.json`; of an examination that is not finished no finding is told."""
    finished = is_concluded(examination)
    conclusion = examination_conclusion(examination)
    most = required_findings(examination.searched.operational, len(examination.candidates))
    told = {} if conclusion is None else {"kind": conclusion.kind.value, "template_id": conclusion.template_id}
    return canonical(
        {
            "format": FORMAT,
            "examination_id": examination.examination_id,
            "state": State.CONCLUDED.value if finished else UNFINISHED,
            "required_findings": most,
            "conclusion": told,
            "findings": [codec.finding_said(one) for one in examination.findings] if finished else [],
        }
    )


def manifest_document(
    case: Case, made_ms: int, made_by: str, version: str, files: Mapping[str, Mapping[str, object]]
) -> bytes:
    """Return `manifest.json`; `files` has the sha256, size and description of each path, `version` is the product's."""
    return canonical(
        {
            "format": FORMAT,
            "product": PRODUCT,
            "version": version,
            "case_id": case.case_id,
            "case_reference": case.reference,
            "purpose": case.purpose.value,
            "opened_by": case.opened_by,
            "opened_ms": case.opened_ms,
            "closed_ms": case.closed_ms,
            "made_ms": made_ms,
            "made_by": made_by,
            "files": files,
        }
    )


def what_of(path: str) -> str:
    """Return what a file of a bundle is, in words; raises `KeyError` where no bundle has one of that name."""
    parts = path.split("/")
    key = parts[2].partition(".")[0] if len(parts) > 2 and parts[2].startswith(("probe.", "candidates")) else parts[-1]
    return WHAT[key]


def parsed(name: str, data: bytes, read: Callable[[dict[str, Any]], R]) -> R:
    """Return what a document says, made by `read` of its JSON.

    `read` raises ValueError, KeyError or TypeError for anything else. Raises `EvidenceUnusable`, which names the file,
    if no document has exactly these bytes.
    """
    try:
        said = read_json(data, len(data), parse_int=_whole)  # `archive.read` has bounded it
        if not isinstance(said, dict) or canonical(said) != data:
            raise ValueError("not canonical")
        form = said.pop("format")
        if type(form) is not int or form != FORMAT:  # true is 1 to Python
            raise ValueError("of another format")
        return read(said)
    # The text of the error may hold what the document says.
    except (ValueError, KeyError, TypeError, AttributeError):
        raise unusable(name, "content", message("error.trust.document_bundle_cannot_read")) from None


def read_search(said: dict[str, Any]) -> SearchDocument:
    """Return what `search.json` says; raises ValueError, KeyError or TypeError."""
    codec.require_fields(said, _SEARCH)
    photos: dict[str, Any] = said["photos"]
    if not all(isinstance(name, str) for name in photos.values()):
        raise TypeError("a photo has no name")
    document = SearchDocument(
        **{
            **said,
            "searched": codec.searched_of(said["searched"]),
            "candidates": tuple(map(codec.listed_of, _list(said["candidates"]))),
            "photos": {_key(number): name for number, name in photos.items()},
            "figures": {_key(template_id): _figures_of(one) for template_id, one in said["figures"].items()},
        }
    )
    require_time(document.searched.searched_ms)
    return document


def read_derivations(said: dict[str, Any]) -> Mapping[str, Any]:
    """Return what `derivations.json` says, unchecked; raises TypeError."""
    codec.require_fields(said, {"derivations": dict})
    derivations: dict[str, Any] = said["derivations"]
    return derivations


def read_findings(said: dict[str, Any]) -> FindingsDocument:
    """Return what `findings.json` says; raises ValueError, KeyError or TypeError."""
    codec.require_fields(said, _FINDINGS)
    conclusion = None
    if said["conclusion"] != {}:
        codec.require_fields(said["conclusion"], {"kind": str, "template_id": int})
        conclusion = (said["conclusion"]["kind"], said["conclusion"]["template_id"])
    given = tuple(map(codec.finding_of, _list(said["findings"])))
    for finding in given:
        require_time(finding.given_ms)
    return FindingsDocument(**{**said, "conclusion": conclusion, "findings": given})


def require_time(at_ms: int) -> None:
    """Raise `ValueError` unless milliseconds since 1970, UTC, are a time that people can write."""
    if not 0 <= at_ms <= _MAX_TIME_MS:
        raise ValueError("a time that is none")


def _whole(digits: str) -> int:
    number = int(digits)
    if abs(number) > MAX_NUMBER:
        raise ValueError("a number that not every reader of JSON reads exactly")
    return number


def _key(digits: str) -> int:
    """Return the number that is the key of a mapping; raises `ValueError` where it is none, or written another way."""
    if str(number := _whole(digits)) != digits:
        raise ValueError("a key is not a number")
    return number


def _list(said: Any) -> list[Any]:
    if not isinstance(said, list):
        raise TypeError("a list is none")
    return said


def _extension(photo: bytes) -> str:
    return _EXTENSIONS.get(sniff(photo) or "", "bin")


def _figures(figures: Figures) -> dict[str, object]:
    return {
        "false_match": _rate(figures.false_match),
        "false_non_match": _rate(figures.false_non_match),
        "log10_lr": figures.log10_lr,
        "bound": figures.bound.value,
        "in_range": figures.in_range,
    }


def _rate(rate: Rate | None) -> dict[str, object] | None:
    if rate is None:
        return None
    interval = [rate.interval.low, rate.interval.high, rate.interval.confidence]
    return {"count": rate.count, "total": rate.total, "interval": interval}


def _figures_of(said: Any) -> Figures:
    """Return what `_figures` was given; raises ValueError or TypeError for anything else."""
    codec.require_fields(said, _FIGURES)
    log10_lr = said["log10_lr"]
    if log10_lr is not None and (type(log10_lr) not in (int, float) or abs(log10_lr) > _MAX_LOG10):
        raise ValueError("a likelihood ratio that is none")
    rates = {name: _rate_of(said[name]) for name in ("false_match", "false_non_match")}
    return Figures(**{**said, **rates, "bound": Bound(said["bound"])})


def _rate_of(said: Any) -> Rate | None:
    if said is None:
        return None
    codec.require_fields(said, {"count": int, "total": int, "interval": list})
    count, total = said["count"], said["total"]
    low, high, confidence = said["interval"]
    if not 0 <= count <= total or total == 0:
        raise ValueError("a share that is none")
    if any(type(number) not in (int, float) or not 0 <= number <= 1 for number in (low, high, confidence)):
        raise ValueError("an interval that is none")
    return Rate(count, total, Interval(low, high, confidence))
