"""The tree of refusals and failures: one class per stable reason, each with a sentence on what to do.

Three branches, because the caller acts differently on each:

* `InputRefused`: the caller can mend it; asking again unchanged gives the same answer.
* `Failure`: ours, and it may pass; asking again later may succeed.
* `Unrecoverable`: the process cannot go on, or must not start, until a person has acted.

No message, and no metadata, ever holds a photo, a vector, or the name or external id of a person.
`docs/errors.md` and the `ErrorReason` enum of the API are checked against this tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from fr_core.errors import evaluation, failures, galleries, photos, requests, unrecoverable
from fr_core.errors.base import (
    Failure,
    FrError,
    InputRefused,
    Unrecoverable,
    for_one_caller,
)
from fr_core.errors.evaluation import (
    CalibrationInvalid,
    CalibrationUnreadable,
    DatasetUnavailable,
    DatasetUnusable,
    EvaluationRunning,
    FigureUndefined,
    NoCalibration,
    RateNotSupported,
    UnknownReport,
)
from fr_core.errors.failures import (
    CallEnded,
    CallTooLong,
    DeviceLost,
    InternalError,
    NotReady,
    Overloaded,
    ReaderTooSlow,
    ShuttingDown,
    StorageLow,
    StoreCorrupt,
    StoreFailed,
)
from fr_core.errors.galleries import (
    DuplicateImage,
    GalleryExists,
    GalleryExpired,
    GalleryReplaced,
    UnknownGallery,
    UnknownSubject,
    UnknownTemplate,
)
from fr_core.errors.photos import (
    FaceTooSmall,
    ImageTooCostly,
    ImageTooManyBytes,
    ImageTooManyPixels,
    LowQuality,
    NoFaceFound,
    SeveralFaces,
    SeveralFrames,
    TooManyFaces,
    Undecodable,
    UnsupportedFormat,
)
from fr_core.errors.requests import (
    EmbeddingNotFinite,
    EmbeddingNotUnit,
    EmbeddingWrongSize,
    InvalidField,
    InvalidFilter,
    InvalidIdentifier,
    InvalidPage,
    InvalidThreshold,
    InvalidTopK,
    MissingField,
    ModelMismatch,
)
from fr_core.errors.unrecoverable import (
    AddressUnavailable,
    BackupMismatch,
    BackupUnusable,
    ConfigInvalid,
    ConfigUnknownKey,
    DeviceUnavailable,
    EvidenceUnusable,
    FetchFailed,
    FileTampered,
    FrontendsFailed,
    KeyUnavailable,
    ModelCorrupt,
    ModelNotInstalled,
    NoStore,
    PackInvalid,
    PlaintextRefused,
    StoreExposed,
    StoreInUse,
    StoreNewer,
    TargetTaken,
    TlsUnusable,
    UnknownPack,
    WrongKey,
)

__all__ = [
    "AddressUnavailable",
    "BackupMismatch",
    "BackupUnusable",
    "CalibrationInvalid",
    "CalibrationUnreadable",
    "CallEnded",
    "CallTooLong",
    "ConfigInvalid",
    "ConfigUnknownKey",
    "DatasetUnavailable",
    "DatasetUnusable",
    "DeviceLost",
    "DeviceUnavailable",
    "DuplicateImage",
    "EmbeddingNotFinite",
    "EmbeddingNotUnit",
    "EmbeddingWrongSize",
    "EvaluationRunning",
    "EvidenceUnusable",
    "FaceTooSmall",
    "Failure",
    "FetchFailed",
    "FigureUndefined",
    "FileTampered",
    "FrError",
    "FrontendsFailed",
    "GalleryExists",
    "GalleryExpired",
    "GalleryReplaced",
    "ImageTooCostly",
    "ImageTooManyBytes",
    "ImageTooManyPixels",
    "InputRefused",
    "InternalError",
    "InvalidField",
    "InvalidFilter",
    "InvalidIdentifier",
    "InvalidPage",
    "InvalidThreshold",
    "InvalidTopK",
    "KeyUnavailable",
    "LowQuality",
    "MissingField",
    "ModelCorrupt",
    "ModelMismatch",
    "ModelNotInstalled",
    "NoCalibration",
    "NoFaceFound",
    "NoStore",
    "NotReady",
    "Overloaded",
    "PackInvalid",
    "PlaintextRefused",
    "RateNotSupported",
    "ReaderTooSlow",
    "SeveralFaces",
    "SeveralFrames",
    "ShuttingDown",
    "StorageLow",
    "StoreCorrupt",
    "StoreExposed",
    "StoreFailed",
    "StoreInUse",
    "StoreNewer",
    "TargetTaken",
    "TlsUnusable",
    "TooManyFaces",
    "Undecodable",
    "UnknownGallery",
    "UnknownPack",
    "UnknownReport",
    "UnknownSubject",
    "UnknownTemplate",
    "Unrecoverable",
    "UnsupportedFormat",
    "WrongKey",
    "all_errors",
    "for_one_caller",
]

_MODULES = (
    photos,
    requests,
    galleries,
    evaluation,
    failures,
    unrecoverable,
)


def all_errors(*modules: ModuleType) -> Iterator[type[FrError]]:
    """Yield every class that carries a reason: those of the core, then those of other modules, in file order."""
    for module in (*_MODULES, *modules):
        for found in vars(module).values():
            if isinstance(found, type) and issubclass(found, FrError) and found.reason:
                yield found
