"""Defines records of the audit and their canonical bytes: words, numbers and pseudonyms, never free text.

Every field has a pattern and a greatest length, so that neither a name of two words, nor a photo, nor a vector fits.
"""

import hmac
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Any, NewType

from fr_core.types import ModelId

VERSION = 1  # part of every record: what a later layout writes is never taken for this one

Pseudonym = NewType("Pseudonym", str)
"""16 hexadecimal digits that stand in for a subject or a case; `Pseudonyms` makes them."""
PSEUDONYM_KEY_BYTES = 32

MAX_ROLES = 8
MAX_SUBJECTS = 1_000  # as many as a search returns candidates at most
MAX_COUNTS = 16
MAX_DETAILS = 16
MAX_DETAIL_LENGTH = 128
MAX_DETAIL_TOTAL = 512  # characters of all keys and values of the details of one record
MAX_BODY_BYTES = 32_768  # no record is longer; 1,000 subjects take 19,000
MAX_NUMBER = 2**53 - 1  # the greatest number of a record: every reader of JSON reads it exactly (RFC 8259, 6)

NO_COUNTS: Mapping[str, int] = MappingProxyType({})
NO_DETAIL: Mapping[str, str] = MappingProxyType({})

_ACTOR = re.compile(r"[a-z]{1,16}(:[A-Za-z0-9_-]{1,64})?")
_ROLE = re.compile(r"[a-z]{1,16}")
_ACTION = re.compile(r"[a-z][a-z0-9_]{0,31}\.[a-z][a-z0-9_]{0,31}")
_OUTCOME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PURPOSE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_PSEUDONYM = re.compile(r"[0-9a-f]{16}")
_SALT = re.compile(r"[0-9a-f]{32}")
_GALLERY = re.compile(r"[a-z0-9_-]{1,128}")
_MODEL = re.compile(r"[A-Za-z0-9._+@:-]{1,128}")
_DECIMAL = re.compile(r"(?!-0$)-?[0-9]{1,10}(\.[0-9]{0,8}[1-9])?")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,31}")
# No spaces, no quotation marks, no letters beyond ASCII.
_DETAIL = re.compile(rf"[A-Za-z0-9._:/+@=,*-]{{0,{MAX_DETAIL_LENGTH}}}")

# Beyond the decimals of a float32 of [-1, 1]; the last digits of a float64 decide no search.
_DECIMALS = 9

# Shared, because to make one for each call takes longer than a record does.
_dump = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), check_circular=False
).encode


@dataclass(frozen=True, slots=True)
class Entry:
    """A record before it has its number and time.

    Raises `ValueError`: a field has an impossible value, a defect of the caller; the message does not repeat the value.
    """

    actor: str  # who: a principal's id, such as "key:k3...", or "system"
    action: str  # what: room and verb, such as "gallery.search"
    outcome: str  # "OK", or the reason of the refusal or failure
    roles: tuple[str, ...] = ()  # of the actor; at most 8, each once, in alphabetical order
    request_id: str | None = None  # of the call; 1 to 64 letters, digits, `.`, `_` and `-`
    purpose: str | None = None  # why: a word of a list
    case: Pseudonym | None = None  # pseudonym of the case's reference
    gallery: str | None = None  # id of the gallery
    subjects: tuple[Pseudonym, ...] = ()  # pseudonyms of whom it was about, at most 1,000
    model: str | None = None  # as `model_of` gives it
    gallery_version: int | None = None  # of the gallery when it was done
    threshold: str | None = None  # as `decimal_of` gives it
    # At most 16 numbers from 0 to 2^53 - 1, by words of a-z, 0-9 and _.
    counts: Mapping[str, int] = field(default_factory=lambda: NO_COUNTS)
    # At most 16 words of 128 ASCII characters without spaces, 512 characters in all with their keys.
    detail: Mapping[str, str] = field(default_factory=lambda: NO_DETAIL)

    def __post_init__(self) -> None:
        _require_word(self.actor, _ACTOR, "actor")
        _require_word(self.action, _ACTION, "action")
        _require_word(self.outcome, _OUTCOME, "outcome")
        _require_words(self.roles, _ROLE, MAX_ROLES, "roles")
        if list(self.roles) != sorted(set(self.roles)):
            raise _unfit("roles")
        _require_words(self.subjects, _PSEUDONYM, MAX_SUBJECTS, "subjects")
        for name, pattern in _OPTIONAL_WORDS:
            if (value := getattr(self, name)) is not None:
                _require_word(value, pattern, name)
        if self.gallery_version is not None:
            _require_number(self.gallery_version, "gallery_version")
        if self.counts is not NO_COUNTS:
            object.__setattr__(self, "counts", _counts(self.counts))
        if self.detail is not NO_DETAIL:
            object.__setattr__(self, "detail", _detail(self.detail))


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Entry):
    """A record of the chain. Raises `ValueError`: as `Entry`."""

    seq: int  # its number in the chain, from 1
    at_ms: int  # when it was written, milliseconds since 1970, UTC; never before that of the record before
    clock_ms: int | None = None  # what the clock said, where it had been set back; None where it said `at_ms`
    # 32 random hexadecimal digits, with which nobody can try out what a record says of which only the hash is told;
    # every table gives one. None where there is none.
    salt: str | None = None

    def __post_init__(self) -> None:
        Entry.__post_init__(self)  # `super()` without arguments does not work in a class with slots
        _require_number(self.seq, "seq")
        _require_number(self.at_ms, "at_ms")
        if self.seq == 0:
            raise _unfit("seq")
        if self.clock_ms is not None:
            _require_number(self.clock_ms, "clock_ms")
            if self.clock_ms >= self.at_ms:
                raise _unfit("clock_ms")
        if self.salt is not None:
            _require_word(self.salt, _SALT, "salt")


class Pseudonyms:
    """Makes the pseudonyms of one chain with its key: the first 64 bits of HMAC-SHA-256 (RFC 2104)."""

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")  # a copy takes half the time of a new one

    def subject(self, gallery_id: str, subject_id: str) -> Pseudonym:
        """Return that of a subject of a gallery, by the caller's own id of it."""
        return self._of("subject", gallery_id, subject_id)

    def case(self, reference: str) -> Pseudonym:
        """Return that of a case, by its reference."""
        return self._of("case", "", reference)

    def other(self, kind: str, own_id: str) -> Pseudonym:
        """Return that of something else, such as a trainee or a cohort, by its id; raises `ValueError` for no kind."""
        if not kind.isalnum() or kind in ("subject", "case"):
            raise ValueError("a pseudonym of no kind, or of one that has a method of its own")
        return self._of(kind, "", own_id)

    def _of(self, kind: str, gallery_id: str, own_id: str) -> Pseudonym:
        # The id is last and may hold anything; a gallery id holds no NUL.
        if "\0" in gallery_id:
            raise ValueError("a gallery id holds no NUL")
        said = f"{kind}\0{gallery_id}\0{own_id}".encode("utf-8", "surrogatepass")
        hashing = self._keyed.copy()
        hashing.update(said)
        return Pseudonym(hashing.hexdigest()[:16])


def encode(entry: Entry, seq: int, at_ms: int, clock_ms: int | None = None, salt: str | None = None) -> bytes:
    """Return the canonical bytes of a record: JSON with sorted keys and no spaces; what is absent is left out.

    `entry` may be a `Record`, whose own numbers do not count. See `Record` for the values.
    """
    said: dict[str, object] = {"v": VERSION, "seq": seq, "at_ms": at_ms, "clock_ms": clock_ms, "salt": salt}
    said |= {name: getattr(entry, name) for name in _WORDS}
    said |= {name: getattr(entry, name) or None for name in ("roles", "subjects")}
    said |= {name: dict(getattr(entry, name)) or None for name in ("counts", "detail")}
    return _dump({name: value for name, value in said.items() if value is not None}).encode()


def decode(body: bytes) -> Record:
    """Return the record of its canonical bytes; raises `ValueError`, which does not repeat them, for other bytes."""
    if len(body) > MAX_BODY_BYTES:
        raise ValueError("a record is too long")
    try:
        said: dict[str, Any] = json.loads(body.decode())
        del said["v"]
        for name in ("roles", "subjects"):
            if name in said:
                said[name] = tuple(said[name])
        record = Record(**said)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("a record cannot be read") from None
    # Another version, spaces, another order, a key twice: of all that says the same, one form alone is a record.
    if encode(record, record.seq, record.at_ms, record.clock_ms, record.salt) != body:
        raise ValueError("a record is not in its canonical form")
    return record


def canonical(value: Mapping[str, object]) -> bytes:
    """Return JSON with sorted keys and no spaces, UTF-8; raises `ValueError` or `TypeError` for what JSON has not."""
    return _dump(value).encode()


def decimal_of(value: float) -> str:
    """Return a number as decimals without an exponent, rounded to nine of them: "0.4", "-1", "0".

    Raises `ValueError`: it is not finite, or 10^10 or more.
    """
    if not math.isfinite(value) or abs(value) >= 10**10:
        raise ValueError("a number of a record is not finite, or too great")
    text = f"{value:.{_DECIMALS}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def model_of(model: ModelId) -> str:
    """Return what stands for a model in a record: its text, or "other:" and 16 digits of the text's SHA-256.

    A gallery of bare embeddings is bound to whatever its creator calls a model, which may be any text.
    """
    text = str(model)
    return text if _MODEL.fullmatch(text) else f"other:{sha256(text.encode()).hexdigest()[:16]}"


def _require_word(value: object, pattern: re.Pattern[str], name: str) -> None:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise _unfit(name)


def _require_words(values: object, pattern: re.Pattern[str], most: int, name: str) -> None:
    if not isinstance(values, tuple) or len(values) > most:
        raise _unfit(name)
    if not all(isinstance(value, str) and pattern.fullmatch(value) for value in values):
        raise _unfit(name)


def _require_number(value: object, name: str) -> None:
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:  # True is not a number
        raise _unfit(name)


def _counts(counts: object) -> Mapping[str, int]:
    if not isinstance(counts, Mapping) or len(counts) > MAX_COUNTS:
        raise _unfit("counts")
    for key, value in counts.items():
        _require_word(key, _KEY, "counts")
        _require_number(value, "counts")
    return MappingProxyType(dict(counts))


def _detail(detail: object) -> Mapping[str, str]:
    if not isinstance(detail, Mapping) or len(detail) > MAX_DETAILS:
        raise _unfit("detail")
    for key, value in detail.items():
        _require_word(key, _KEY, "detail")
        _require_word(value, _DETAIL, "detail")
    if sum(len(key) + len(value) for key, value in detail.items()) > MAX_DETAIL_TOTAL:
        raise _unfit("detail")
    return MappingProxyType(dict(detail))


def _unfit(name: str) -> ValueError:
    return ValueError(f"the {name} of a record holds what it cannot")


_OPTIONAL_WORDS = (
    ("request_id", _REQUEST_ID),
    ("purpose", _PURPOSE),
    ("case", _PSEUDONYM),
    ("gallery", _GALLERY),
    ("model", _MODEL),
    ("threshold", _DECIMAL),
)
_WORDS = ("actor", "action", "outcome", "gallery_version", *(name for name, _ in _OPTIONAL_WORDS))
