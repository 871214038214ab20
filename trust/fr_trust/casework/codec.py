"""Searches and findings as JSON, and back; and the digests by which the audit vouches for them.

A digest is SHA-256 over a label, a salt of 128 random bits and canonical JSON: a commitment. A reader of the audit
cannot try out possible findings; a reader who also gets the finding with its salt can check that it is the one.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Any, get_type_hints

from fr_core.storage.audit.values import canonical
from fr_trust.casework.values import Finding, FindingKind, Listed, Searched

SALT_BYTES = 16

_SEARCHED, _GIVEN = get_type_hints(Searched), get_type_hints(Finding)
# The photo is kept beside what is said.
_LISTED = {name: hint for name, hint in get_type_hints(Listed).items() if name != "photo"}
_PLAIN = (str, int, float, bool, dict, list)

_SEARCH = b"fr-core search 1\0"
_FINDING = b"fr-core finding 1\0"


def searched_said(searched: Searched) -> dict[str, Any]:
    """Return the parameters of a search as values that JSON has."""
    maps = {name: dict(getattr(searched, name)) for name in ("parameters", "derivations")}
    return {**_fields(searched, _SEARCHED), "threshold": float(searched.threshold), **maps}


def searched_of(said: Mapping[str, Any]) -> Searched:
    """Return what `searched_said` was given; raises ValueError, KeyError or TypeError for anything else."""
    require_fields(said, _SEARCHED)
    maps = {name: _texts(said[name]) for name in ("parameters", "derivations")}
    return Searched(**{**said, **maps})


def listed_said(listed: Listed) -> dict[str, Any]:
    """Return a candidate, without its photo, as values that JSON has."""
    return {**_fields(listed, _LISTED), "similarity": float(listed.similarity)}


def listed_of(said: Mapping[str, Any]) -> Listed:
    """Return what `listed_said` was given; raises ValueError, KeyError or TypeError for anything else."""
    require_fields(said, _LISTED)
    return Listed(**said)


def finding_said(finding: Finding) -> dict[str, Any]:
    """Return a finding as values that JSON has."""
    return {**_fields(finding, _GIVEN), "kind": finding.kind.value}


def finding_of(said: Mapping[str, Any]) -> Finding:
    """Return what `finding_said` was given; raises ValueError, KeyError or TypeError for anything else."""
    require_fields(said, _GIVEN)
    return Finding(**{**said, "kind": FindingKind(said["kind"])})


def search_digest(
    examination_id: str, case_id: str, searched: Searched, candidates: Sequence[Listed], salt: str
) -> str:
    """Return what the audit says of a search, 64 hexadecimal digits.

    Candidates are as found; `photo_sha256` alone tells of their photos. Raises `ValueError` if a number is not finite,
    or the salt of the examination is none.
    """
    said = {
        "examination_id": examination_id,
        "case_id": case_id,
        "searched": searched_said(searched),
        "candidates": [listed_said(one) for one in candidates],
    }
    return _digest(_SEARCH, salt, said)


def finding_digest(examination_id: str, number: int, finding: Finding) -> str:
    """Return what the audit says of the nth finding, 64 hexadecimal digits; raises `ValueError` for a wrong salt."""
    return _digest(
        _FINDING, finding.salt, {"examination_id": examination_id, "number": number, **finding_said(finding)}
    )


def _digest(label: bytes, salt: str, said: Mapping[str, object]) -> str:
    raw = bytes.fromhex(salt)
    if len(raw) != SALT_BYTES:
        raise ValueError("a salt has 32 hexadecimal digits")
    return sha256(label + raw + canonical(said)).hexdigest()


def _fields(value: object, hints: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in hints}


def require_fields(said: Any, hints: Mapping[str, Any]) -> None:
    """Raise `TypeError` unless a mapping has exactly these fields, and those of the plain types of JSON have theirs.

    One that is left out has no default here: what was said would be less than what its digest is of.
    """
    if not isinstance(said, Mapping) or said.keys() != hints.keys():
        raise TypeError("a mapping has other fields")
    for name, value in said.items():
        if (kind := hints[name]) in _PLAIN and type(value) is not kind:
            raise TypeError("a field is of another type")


def _texts(said: Any) -> Mapping[str, str]:
    texts = dict(said)
    if not all(isinstance(one, str) for pair in texts.items() for one in pair):
        raise ValueError("a parameter is not text")
    return MappingProxyType(texts)
