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

from fr_core.errors import embeddings, evaluation, faces, failures, galleries, photos, requests, training, unrecoverable
from fr_core.errors.base import (
    Failure,
    FrError,
    InputRefused,
    Unrecoverable,
    for_one_caller,
)
from fr_core.errors.embeddings import (
    EmbeddingNotFinite,
    EmbeddingNotUnit,
    EmbeddingWrongSize,
    ModelMismatch,
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
from fr_core.errors.faces import (
    FaceTooSmall,
    LowQuality,
    NoFaceFound,
    SeveralFaces,
)
from fr_core.errors.failures import (
    CallEnded,
    DeviceLost,
    InternalError,
    NotReady,
    Overloaded,
    ShuttingDown,
    StorageLow,
    StoreCorrupt,
    StoreFailed,
)
from fr_core.errors.galleries import (
    DuplicateImage,
    GalleryExists,
    GalleryExpired,
    UnknownGallery,
    UnknownSubject,
    UnknownTemplate,
)
from fr_core.errors.photos import (
    ImageTooManyBytes,
    ImageTooManyPixels,
    SeveralFrames,
    Undecodable,
    UnsupportedFormat,
)
from fr_core.errors.requests import (
    InvalidField,
    InvalidFilter,
    InvalidIdentifier,
    InvalidPage,
    InvalidThreshold,
    InvalidTopK,
    MissingField,
)
from fr_core.errors.training import (
    BlockExpired,
    ConsentRequired,
    CourseBuilding,
    DecisionLocked,
    InvalidRating,
    NothingToReport,
    PlanInvalid,
    SessionFinished,
    SessionPaused,
    SessionUnfinished,
    TooFewPeople,
    UnknownCohort,
    UnknownCourse,
    UnknownExercise,
    UnknownPlan,
    UnknownSession,
    UnknownSitting,
    UnknownTrainee,
    UnknownTrial,
    WrongStep,
)
from fr_core.errors.unrecoverable import (
    AddressUnavailable,
    BackupMismatch,
    BackupUnusable,
    ConfigInvalid,
    ConfigUnknownKey,
    DeviceUnavailable,
    FetchFailed,
    FrontendsFailed,
    KeyUnavailable,
    ModelCorrupt,
    ModelNotInstalled,
    NoStore,
    PackInvalid,
    StoreInUse,
    StoreNewer,
    TargetTaken,
    UnknownPack,
    WrongKey,
)

__all__ = [
    "AddressUnavailable",
    "BackupMismatch",
    "BackupUnusable",
    "BlockExpired",
    "CalibrationInvalid",
    "CalibrationUnreadable",
    "CallEnded",
    "ConfigInvalid",
    "ConfigUnknownKey",
    "ConsentRequired",
    "CourseBuilding",
    "DatasetUnavailable",
    "DatasetUnusable",
    "DecisionLocked",
    "DeviceLost",
    "DeviceUnavailable",
    "DuplicateImage",
    "EmbeddingNotFinite",
    "EmbeddingNotUnit",
    "EmbeddingWrongSize",
    "EvaluationRunning",
    "FaceTooSmall",
    "Failure",
    "FetchFailed",
    "FigureUndefined",
    "FrError",
    "FrontendsFailed",
    "GalleryExists",
    "GalleryExpired",
    "ImageTooManyBytes",
    "ImageTooManyPixels",
    "InputRefused",
    "InternalError",
    "InvalidField",
    "InvalidFilter",
    "InvalidIdentifier",
    "InvalidPage",
    "InvalidRating",
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
    "NothingToReport",
    "Overloaded",
    "PackInvalid",
    "PlanInvalid",
    "RateNotSupported",
    "SessionFinished",
    "SessionPaused",
    "SessionUnfinished",
    "SeveralFaces",
    "SeveralFrames",
    "ShuttingDown",
    "StorageLow",
    "StoreCorrupt",
    "StoreFailed",
    "StoreInUse",
    "StoreNewer",
    "TargetTaken",
    "TooFewPeople",
    "Undecodable",
    "UnknownCohort",
    "UnknownCourse",
    "UnknownExercise",
    "UnknownGallery",
    "UnknownPack",
    "UnknownPlan",
    "UnknownReport",
    "UnknownSession",
    "UnknownSitting",
    "UnknownSubject",
    "UnknownTemplate",
    "UnknownTrainee",
    "UnknownTrial",
    "Unrecoverable",
    "UnsupportedFormat",
    "WrongKey",
    "WrongStep",
    "all_errors",
    "for_one_caller",
]

# In the order in which the documentation tells them.
_ROOMS = (photos, faces, embeddings, requests, galleries, evaluation, training, failures, unrecoverable)


def all_errors() -> Iterator[type[FrError]]:
    """Yield every class that carries a reason, room after room, each in the order of its file."""
    for room in _ROOMS:
        for found in vars(room).values():
            if isinstance(found, type) and issubclass(found, FrError) and found.reason:
                yield found
