"""The JSON of a bundle: canonical, with sorted keys and no spaces, so that the same is always the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fr_core.audit.values import canonical
from fr_core.casework.codec import (
    finding_of,
    finding_said,
    listed_of,
    listed_said,
    searched_of,
    searched_said,
)
from fr_core.casework.rules import examination_conclusion, is_concluded, required_findings
from fr_core.casework.values import Case, Examination, Finding, Listed, Searched, State
from fr_core.evidence.archive import unusable
from fr_core.evidence.values import Exhibit, Figures
from fr_core.imaging.containers import sniff
from fr_core.scoring.intervals import Rate

R = TypeVar("R")

FORMAT = 1
"""Of bundles: what a later one holds is not taken for this."""

PRODUCT = "fr-core"
MANIFEST, SIGNATURE, PUBLIC_KEY, REPORT = "manifest.json", "manifest.sig", "public.pem", "report.html"
AUDIT, CHECKPOINT, AUDIT_KEY = "audit.jsonl", "checkpoint.json", "audit_public.pem"
UNFINISHED = "unfinished"
"""The state of an examination that waits for a finding, whichever."""

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

_EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tiff", "AVIF": "avif"}


@dataclass(frozen=True, slots=True)
class SearchDocument:
    """What `search.json` says.

    Attributes:
        examination_id: of the examination.
        case_id: of the case.
        salt: of the digest in the audit.
        searched: what was searched, and how.
        candidates: as found.
        probe: path of the photo in the folder of the examination.
        photos: those of candidates, by their places from 1.
    """

    examination_id: str
    case_id: str
    salt: str
    searched: Searched
    candidates: tuple[Listed, ...]
    probe: str
    photos: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class FindingsDocument:
    """What `findings.json` says.

    Attributes:
        examination_id: of the examination.
        state: "concluded" or "unfinished".
        required_findings: how many it takes where examiners agree; 0 where there is no candidate.
        conclusion: kind and template_id, None where it is unfinished.
        findings: all of them, in their order; none where it is unfinished.
    """

    examination_id: str
    state: str
    required_findings: int
    conclusion: tuple[str, int] | None
    findings: tuple[Finding, ...]


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
            "searched": searched_said(own.searched),
            "candidates": [listed_said(one) for one in own.candidates],
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
            "findings": [finding_said(one) for one in examination.findings] if finished else [],
        }
    )


def manifest_document(
    case: Case, made_ms: int, made_by: str, version: str, files: Mapping[str, Mapping[str, object]]
) -> bytes:
    """Return `manifest.json`.

    Args:
        case: that it is of.
        made_ms: when, milliseconds since 1970, UTC.
        made_by: a principal_id.
        version: of the product.
        files: path -> sha256, size and what it is.
    """
    return canonical(
        {
            "format": FORMAT,
            "product": PRODUCT,
            "version": version,
            "case_id": case.case_id,
            "case_reference": case.reference,
            "purpose": case.purpose.value,
            "made_ms": made_ms,
            "made_by": made_by,
            "files": files,
        }
    )


def what_of(path: str) -> str:
    """Return what a file of a bundle is, in words."""
    parts = path.split("/")
    key = parts[2].partition(".")[0] if len(parts) > 2 and parts[2].startswith(("probe.", "candidates")) else parts[-1]
    return WHAT[key]


def parsed(name: str, data: bytes, read: Callable[[dict[str, Any]], R]) -> R:
    """Return what a document says.

    Args:
        name: its path, for the error.
        data: its bytes.
        read: makes the value of the JSON; raises ValueError, KeyError or TypeError for what is none.

    Raises:
        EvidenceUnusable: no document has exactly these bytes.
    """
    try:
        said = json.loads(data.decode())
        if not isinstance(said, dict) or canonical(said) != data:
            raise ValueError("not canonical")
        if said.pop("format") != FORMAT:
            raise ValueError("of another format")
        return read(said)
    # The text of the error may hold what the document says.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise unusable(name, "content", "A document of the bundle cannot be read, or is of a later version.") from None


def read_search(said: dict[str, Any]) -> SearchDocument:
    """Return what `search.json` says; raises ValueError, KeyError or TypeError."""
    if not all(isinstance(name, str) for name in (said["probe"], *said["photos"].values())):
        raise TypeError("a photo's name is no text")
    return SearchDocument(
        said["examination_id"],
        said["case_id"],
        said["salt"],
        searched_of(said["searched"]),
        tuple(map(listed_of, said["candidates"])),
        said["probe"],
        {int(number): name for number, name in said["photos"].items()},
    )


def read_findings(said: dict[str, Any]) -> FindingsDocument:
    """Return what `findings.json` says; raises ValueError, KeyError or TypeError."""
    told = said["conclusion"]
    return FindingsDocument(
        said["examination_id"],
        said["state"],
        said["required_findings"],
        (told["kind"], told["template_id"]) if told else None,
        tuple(map(finding_of, said["findings"])),
    )


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
