"""The one table from FR Core's errors to gRPC status codes, and the google.rpc.Status that carries them."""

import types
from collections.abc import Iterator, Mapping
from typing import NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from fr_api.v1 import error_reason_pb2
from fr_core import errors as e
from fr_locales import rendering  # noqa: F401 - now, since an error has its sentence where no file can be opened, too
from fr_training import errors as training
from fr_trust import errors as trust
from fr_video import errors as video

DOMAIN = "fr-core"
STATUS_DETAILS_KEY = "grpc-status-details-bin"
RETRY_AFTER_S: Mapping[type[e.FrError], float] = types.MappingProxyType(
    {
        trust.RateLimited: 1.0,
        e.Overloaded: 0.5,
        e.NotReady: 2.0,
        e.IndexUnavailable: 2.0,
        e.ShuttingDown: 2.0,
        e.ReplicaBehind: 0.5,
        e.ErasureUnconfirmed: 5.0,
    }
)

# Every error that a call can end with. docs/errors.md is generated from this table and the classes' own sentences.
STATUS: Mapping[type[e.FrError], grpc.StatusCode] = types.MappingProxyType(
    {
        e.Undecodable: grpc.StatusCode.INVALID_ARGUMENT,
        e.UnsupportedFormat: grpc.StatusCode.INVALID_ARGUMENT,
        e.ImageTooManyBytes: grpc.StatusCode.INVALID_ARGUMENT,
        e.ImageTooManyPixels: grpc.StatusCode.INVALID_ARGUMENT,
        e.SeveralFrames: grpc.StatusCode.INVALID_ARGUMENT,
        e.ImageTooCostly: grpc.StatusCode.INVALID_ARGUMENT,
        e.NoFaceFound: grpc.StatusCode.FAILED_PRECONDITION,
        e.SeveralFaces: grpc.StatusCode.FAILED_PRECONDITION,
        e.TooManyFaces: grpc.StatusCode.FAILED_PRECONDITION,
        e.FaceTooSmall: grpc.StatusCode.FAILED_PRECONDITION,
        e.LowQuality: grpc.StatusCode.FAILED_PRECONDITION,
        e.EmbeddingWrongSize: grpc.StatusCode.INVALID_ARGUMENT,
        e.EmbeddingNotFinite: grpc.StatusCode.INVALID_ARGUMENT,
        e.EmbeddingNotUnit: grpc.StatusCode.INVALID_ARGUMENT,
        e.ModelMismatch: grpc.StatusCode.FAILED_PRECONDITION,
        e.MissingField: grpc.StatusCode.INVALID_ARGUMENT,
        e.InvalidField: grpc.StatusCode.INVALID_ARGUMENT,
        e.InvalidIdentifier: grpc.StatusCode.INVALID_ARGUMENT,
        e.InvalidTopK: grpc.StatusCode.INVALID_ARGUMENT,
        e.InvalidThreshold: grpc.StatusCode.INVALID_ARGUMENT,
        e.InvalidFilter: grpc.StatusCode.INVALID_ARGUMENT,
        e.InvalidPage: grpc.StatusCode.INVALID_ARGUMENT,
        trust.CredentialMissing: grpc.StatusCode.UNAUTHENTICATED,
        trust.CredentialInvalid: grpc.StatusCode.UNAUTHENTICATED,
        trust.NotPermitted: grpc.StatusCode.PERMISSION_DENIED,
        trust.RateLimited: grpc.StatusCode.RESOURCE_EXHAUSTED,
        trust.QuotaExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
        trust.UnknownKey: grpc.StatusCode.NOT_FOUND,
        trust.TooManyKeys: grpc.StatusCode.RESOURCE_EXHAUSTED,
        trust.PurposeRequired: grpc.StatusCode.FAILED_PRECONDITION,
        e.UnknownGallery: grpc.StatusCode.NOT_FOUND,
        e.GalleryReplaced: grpc.StatusCode.ABORTED,
        e.UnknownSubject: grpc.StatusCode.NOT_FOUND,
        e.UnknownTemplate: grpc.StatusCode.NOT_FOUND,
        e.GalleryExists: grpc.StatusCode.ALREADY_EXISTS,
        e.GalleryExpired: grpc.StatusCode.FAILED_PRECONDITION,
        e.DuplicateImage: grpc.StatusCode.ALREADY_EXISTS,
        trust.UnknownCase: grpc.StatusCode.NOT_FOUND,
        trust.UnknownExamination: grpc.StatusCode.NOT_FOUND,
        trust.CaseExists: grpc.StatusCode.ALREADY_EXISTS,
        trust.CaseClosed: grpc.StatusCode.FAILED_PRECONDITION,
        trust.ExaminerNotIndependent: grpc.StatusCode.PERMISSION_DENIED,
        trust.FindingLocked: grpc.StatusCode.FAILED_PRECONDITION,
        trust.ReviewUnfinished: grpc.StatusCode.FAILED_PRECONDITION,
        e.NoCalibration: grpc.StatusCode.FAILED_PRECONDITION,
        e.RateNotSupported: grpc.StatusCode.FAILED_PRECONDITION,
        e.CalibrationInvalid: grpc.StatusCode.INVALID_ARGUMENT,
        e.CalibrationUnreadable: grpc.StatusCode.FAILED_PRECONDITION,
        e.DatasetUnavailable: grpc.StatusCode.NOT_FOUND,
        e.DatasetUnusable: grpc.StatusCode.FAILED_PRECONDITION,
        e.FigureUndefined: grpc.StatusCode.FAILED_PRECONDITION,
        e.EvaluationRunning: grpc.StatusCode.RESOURCE_EXHAUSTED,
        e.UnknownReport: grpc.StatusCode.NOT_FOUND,
        training.PlanInvalid: grpc.StatusCode.INVALID_ARGUMENT,
        training.UnknownExercise: grpc.StatusCode.INVALID_ARGUMENT,
        training.UnknownPlan: grpc.StatusCode.NOT_FOUND,
        training.TooFewPeople: grpc.StatusCode.FAILED_PRECONDITION,
        training.CourseBuilding: grpc.StatusCode.RESOURCE_EXHAUSTED,
        training.UnknownCourse: grpc.StatusCode.NOT_FOUND,
        training.UnknownItem: grpc.StatusCode.NOT_FOUND,
        training.UnknownCohort: grpc.StatusCode.NOT_FOUND,
        training.UnknownTrainee: grpc.StatusCode.NOT_FOUND,
        training.UnknownSitting: grpc.StatusCode.NOT_FOUND,
        training.ConsentRequired: grpc.StatusCode.FAILED_PRECONDITION,
        training.UnknownSession: grpc.StatusCode.NOT_FOUND,
        training.UnknownTrial: grpc.StatusCode.NOT_FOUND,
        training.WrongStep: grpc.StatusCode.FAILED_PRECONDITION,
        training.InvalidRating: grpc.StatusCode.INVALID_ARGUMENT,
        training.DecisionLocked: grpc.StatusCode.ALREADY_EXISTS,
        training.BlockExpired: grpc.StatusCode.FAILED_PRECONDITION,
        training.SessionPaused: grpc.StatusCode.FAILED_PRECONDITION,
        training.PausesUsedUp: grpc.StatusCode.FAILED_PRECONDITION,
        training.SittingClosed: grpc.StatusCode.FAILED_PRECONDITION,
        training.SessionFinished: grpc.StatusCode.FAILED_PRECONDITION,
        training.SessionUnfinished: grpc.StatusCode.FAILED_PRECONDITION,
        training.NotReleased: grpc.StatusCode.FAILED_PRECONDITION,
        training.ItemsOfTest: grpc.StatusCode.FAILED_PRECONDITION,
        training.ItemsAhead: grpc.StatusCode.FAILED_PRECONDITION,
        training.NothingToReport: grpc.StatusCode.FAILED_PRECONDITION,
        video.VideoUnreadable: grpc.StatusCode.INVALID_ARGUMENT,
        video.VideoUnsupported: grpc.StatusCode.INVALID_ARGUMENT,
        video.VideoTooLarge: grpc.StatusCode.INVALID_ARGUMENT,
        video.VideoTooCostly: grpc.StatusCode.INVALID_ARGUMENT,
        video.VideoChanged: grpc.StatusCode.INVALID_ARGUMENT,
        video.VideoUnavailable: grpc.StatusCode.FAILED_PRECONDITION,
        video.UnknownVideo: grpc.StatusCode.NOT_FOUND,
        video.VideoIncomplete: grpc.StatusCode.FAILED_PRECONDITION,
        video.TooManyVideos: grpc.StatusCode.RESOURCE_EXHAUSTED,
        video.StreamUnreadable: grpc.StatusCode.FAILED_PRECONDITION,
        video.WatchNotAllowed: grpc.StatusCode.FAILED_PRECONDITION,
        video.StreamWatched: grpc.StatusCode.FAILED_PRECONDITION,
        e.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
        e.NotReady: grpc.StatusCode.UNAVAILABLE,
        e.ShuttingDown: grpc.StatusCode.UNAVAILABLE,
        e.ReplicaBehind: grpc.StatusCode.UNAVAILABLE,
        e.ErasureUnconfirmed: grpc.StatusCode.UNAVAILABLE,
        e.StoreFailed: grpc.StatusCode.UNAVAILABLE,
        e.StoreCorrupt: grpc.StatusCode.DATA_LOSS,
        e.StorageLow: grpc.StatusCode.RESOURCE_EXHAUSTED,
        e.IndexUnavailable: grpc.StatusCode.UNAVAILABLE,
        e.InternalError: grpc.StatusCode.INTERNAL,
        e.DeviceLost: grpc.StatusCode.UNAVAILABLE,
        e.CallEnded: grpc.StatusCode.DEADLINE_EXCEEDED,
        e.CallTooLong: grpc.StatusCode.DEADLINE_EXCEEDED,
        e.ReaderTooSlow: grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)


def all_errors() -> Iterator[type[e.FrError]]:
    """Yield every class that carries a reason: of the core, of trust, of training, of footage."""
    return e.all_errors(trust, training, video)


def status_of(error: e.FrError) -> grpc.StatusCode:
    """Return the status code of an error that a call can end with."""
    return STATUS[type(error)]


def reason_value(error: e.FrError) -> error_reason_pb2.ErrorReason.ValueType:
    """Return the enum value of the error's reason."""
    return error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason}")


def rich_status(error: e.FrError) -> status_pb2.Status:
    """Build the google.rpc.Status of an error: code, message, ErrorInfo, and RetryInfo where waiting helps."""
    status = status_pb2.Status(code=status_of(error).value[0], message=error.told)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status.details.append(_packed(info))
    delay_s = RETRY_AFTER_S.get(type(error))
    if delay_s is not None:
        delay = duration_pb2.Duration(seconds=int(delay_s), nanos=round(delay_s % 1 * 1e9))
        status.details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message, deterministic=True)
    return packed


async def abort(context: grpc.aio.ServicerContext[object, object], error: e.FrError, request_id: str) -> NoReturn:
    """End the call with the error's status; grpc.aio has no public `abort_with_status`."""
    await context.abort(
        status_of(error),
        error.told,
        ((STATUS_DETAILS_KEY, rich_status(error).SerializeToString()), ("x-request-id", request_id)),
    )
    raise AssertionError("abort returned")
