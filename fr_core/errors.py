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
from typing import ClassVar


class FrError(Exception):
    """The root of every error that FR Core raises on purpose.

    Args:
        what: one sentence that says what was found, without personal data.
        metadata: numbers and names of settings that a program may act on, such as `limit="8388608"`.
    """

    reason: ClassVar[str] = ""
    remedy: ClassVar[str] = ""

    def __init__(self, what: str, **metadata: str) -> None:
        super().__init__(what)
        self.what = what
        self.metadata = metadata

    @property
    def message(self) -> str:
        """What was found, then what to do about it."""
        return f"{self.what} {self.remedy}".strip()

    def __str__(self) -> str:
        return self.message


class InputRefused(FrError):
    """The caller can mend it; asking again unchanged gives the same answer."""


class Failure(FrError):
    """Ours, and it may pass; asking again later may succeed."""


class Unrecoverable(FrError):
    """The process cannot go on, or must not start, until a person has acted."""


def for_one_caller(error: BaseException) -> BaseException:
    """Return what one of several threads is to raise; one exception would gather the traces of all of them."""
    if not isinstance(error, FrError):
        return error
    own = type(error)(error.what, **error.metadata)
    own.__cause__ = error
    return own


# --- photos -----------------------------------------------------------------------------------------------


class Undecodable(InputRefused):
    """The bytes are no complete photo: empty, truncated, damaged, or not an image at all."""

    reason = "UNDECODABLE"
    remedy = "Send the complete bytes of one photo, as the camera or the editor wrote them."


class UnsupportedFormat(InputRefused):
    """The bytes are an image of a format that this server does not accept."""

    reason = "UNSUPPORTED_FORMAT"
    remedy = "Convert the photo to JPEG, PNG or WebP, or add the format to `images.formats` of the server."


class ImageTooManyBytes(InputRefused):
    """The encoded photo is larger than the limit."""

    reason = "IMAGE_TOO_MANY_BYTES"
    remedy = "Send a smaller file, or raise `images.max_bytes` of the server."


class ImageTooManyPixels(InputRefused):
    """The photo has more pixels than the limit."""

    reason = "IMAGE_TOO_MANY_PIXELS"
    remedy = "Scale the photo down, or raise `images.max_pixels` of the server."


class SeveralFrames(InputRefused):
    """The file is an animation or a multi-page image."""

    reason = "SEVERAL_FRAMES"
    remedy = "Send one frame as a photo of its own."


# --- faces ------------------------------------------------------------------------------------------------


class NoFaceFound(InputRefused):
    """No face was found in the photo."""

    reason = "NO_FACE"
    remedy = "Send a photo in which a face can be seen from the front, upright and unobstructed."


class SeveralFaces(InputRefused):
    """More than one face was found where one was asked for."""

    reason = "SEVERAL_FACES"
    remedy = "Crop the photo to one face, or ask for the largest face."


class FaceTooSmall(InputRefused):
    """The face has too few pixels between its eyes to be enrolled."""

    reason = "TOO_SMALL"
    remedy = "Send a photo with more pixels on the face, or lower `quality.min_inter_eye_px` of the server."


class LowQuality(InputRefused):
    """The face is too blurred, too dark, too bright, too far from frontal, or too doubtful to be enrolled."""

    reason = "LOW_QUALITY"
    remedy = "Send a sharper, evenly lit, frontal photo, or lower the limits under `quality` of the server."


# --- embeddings -------------------------------------------------------------------------------------------


class EmbeddingWrongSize(InputRefused):
    """The embedding does not have the number of values that the model gives."""

    reason = "EMBEDDING_WRONG_SIZE"
    remedy = "Send the embedding as this server's model returned it."


class EmbeddingNotFinite(InputRefused):
    """The embedding holds NaN or an infinity."""

    reason = "EMBEDDING_NOT_FINITE"
    remedy = "Send the embedding as this server's model returned it."


class EmbeddingNotUnit(InputRefused):
    """The embedding does not have length one."""

    reason = "EMBEDDING_NOT_UNIT"
    remedy = "Divide the embedding by its Euclidean length; a vector of zeros is no embedding."


class ModelMismatch(InputRefused):
    """Two embeddings, or an embedding and a gallery, come from different models."""

    reason = "MODEL_MISMATCH"
    remedy = "Compare embeddings of one model only: embed the photo again with the model that is asked for."


# --- requests ---------------------------------------------------------------------------------------------


class MissingField(InputRefused):
    """A field that the call needs was not set."""

    reason = "MISSING_FIELD"
    remedy = "Set the field and call again."


class InvalidField(InputRefused):
    """A field holds a value that it cannot have."""

    reason = "INVALID_FIELD"
    remedy = "Set the field to a value that its documentation allows."


class InvalidIdentifier(InputRefused):
    """A gallery or subject id is empty, too long, or holds characters that an id cannot have."""

    reason = "INVALID_IDENTIFIER"
    remedy = "Use 1 to 128 printable characters without spaces at either end; for a gallery a-z, 0-9, - and _."


class InvalidTopK(InputRefused):
    """The number of candidates asked for is zero or beyond the limit."""

    reason = "INVALID_TOP_K"
    remedy = "Ask for 1 candidate up to the limit, or leave the field unset for the default."


class InvalidThreshold(InputRefused):
    """The threshold is not a number from -1 to 1."""

    reason = "INVALID_THRESHOLD"
    remedy = "Send a number from -1 to 1, or leave the field unset for the model's default."


class InvalidFilter(InputRefused):
    """The filter of a search holds no condition, too many, or a key of metadata that no subject has."""

    reason = "INVALID_FILTER"
    remedy = "Name keys that subjects of this gallery have; leave the filter out to search everybody."


class InvalidPage(InputRefused):
    """The page size is out of range, or the page token is not one that this call returned."""

    reason = "INVALID_PAGE"
    remedy = "Send the token exactly as the previous page returned it, with a page size within the limit."


# --- galleries --------------------------------------------------------------------------------------------


class UnknownGallery(InputRefused):
    """There is no gallery of that id."""

    reason = "UNKNOWN_GALLERY"
    remedy = "List the galleries, or create this one first."


class UnknownSubject(InputRefused):
    """The gallery holds no subject of that id."""

    reason = "UNKNOWN_SUBJECT"
    remedy = "List the subjects of the gallery."


class UnknownTemplate(InputRefused):
    """The gallery holds no template of that id."""

    reason = "UNKNOWN_TEMPLATE"
    remedy = "Get the subject to see its templates."


class GalleryExists(InputRefused):
    """A gallery of that id exists already."""

    reason = "GALLERY_EXISTS"
    remedy = "Choose another id, or use the gallery that exists."


class GalleryExpired(InputRefused):
    """The gallery has reached its end, and takes no enrolments and searches."""

    reason = "GALLERY_EXPIRED"
    remedy = "Give it a later end with UpdateGallery, or none, if its purpose still holds; else delete it."


class DuplicateImage(InputRefused):
    """The gallery already holds a template of exactly this photo."""

    reason = "DUPLICATE_IMAGE"
    remedy = "Nothing needs to be done; delete the earlier template first to enrol the photo elsewhere."


# --- evaluation -------------------------------------------------------------------------------------------


class NoCalibration(InputRefused):
    """A rate was asked for, and neither the gallery nor the model has a calibration that tells its threshold."""

    reason = "NO_CALIBRATION"
    remedy = "Send a threshold, or set a calibration for the gallery with `fr gallery calibrate`."


class RateNotSupported(InputRefused):
    """The rate that was asked for is lower than the comparisons of the calibration can show."""

    reason = "RATE_NOT_SUPPORTED"
    remedy = "Ask for a higher rate, if there is one, or set a calibration of more people for the gallery."


class CalibrationInvalid(InputRefused):
    """The calibration cannot be read, contradicts itself, or is of another model."""

    reason = "CALIBRATION_INVALID"
    remedy = "Send the calibration.json that `fr evaluate verification --out DIR` wrote for the gallery's model."


class CalibrationUnreadable(InputRefused):
    """A rate was asked for, and the gallery's calibration cannot be read any more."""

    reason = "CALIBRATION_UNREADABLE"
    remedy = "Send a threshold, or set the calibration anew, as `fr evaluate verification` of this version writes it."


class DatasetUnavailable(InputRefused):
    """There is no data set of that name, it does not lie on the server, or what is asked for is not in it."""

    reason = "DATASET_UNAVAILABLE"
    remedy = (
        "Ask ListDatasets (`fr report datasets`) for those that can be measured; whoever runs the server adds one with "
        "`fr dataset link`."
    )


class DatasetUnusable(InputRefused):
    """The data set on the server is incomplete, or breaks its format."""

    reason = "DATASET_UNUSABLE"
    remedy = "Whoever runs the server finds out what is wrong with `fr dataset verify`, and mends it."


class FigureUndefined(InputRefused):
    """The photos of the data set support no figure, as when none shows a face."""

    reason = "FIGURE_UNDEFINED"
    remedy = "Take a data set with more photos of faces."


class EvaluationRunning(InputRefused):
    """The server measures something already."""

    reason = "EVALUATION_RUNNING"
    remedy = "Wait until that has ended, or cancel it; then call again."


class UnknownReport(InputRefused):
    """There is no report of that id, or it has no such file."""

    reason = "UNKNOWN_REPORT"
    remedy = "Ask ListReports (`fr report list`) for those that there are."


# --- failures that may pass -------------------------------------------------------------------------------


class Overloaded(Failure):
    """The server has as much work as it accepts."""

    reason = "OVERLOADED"
    remedy = "Call again after the delay in RetryInfo."


class NotReady(Failure):
    """The server has begun to listen, and is still reading its galleries."""

    reason = "NOT_READY"
    remedy = "Call again after the delay in RetryInfo, or wait until the health service says SERVING."


class ShuttingDown(Failure):
    """The server is draining and takes no new work."""

    reason = "SHUTTING_DOWN"
    remedy = "Call again; another or a restarted server will answer."


class StoreFailed(Failure):
    """The store could not be read or written; nothing of the call was kept."""

    reason = "STORE_FAILED"
    remedy = "Look for a full or failing disk on the server, then call again."


class StoreCorrupt(Failure):
    """The store is damaged, or what it holds contradicts itself; nothing of the call was kept."""

    reason = "STORE_CORRUPT"
    remedy = (
        "Whoever runs the server checks the galleries with `fr gallery verify`, and restores them from a backup; "
        "a damaged report is deleted with DeleteReport, and measured again."
    )


class StorageLow(Failure):
    """The disk of the data folder has too little room left to take in more; everything else still works."""

    reason = "STORAGE_LOW"
    remedy = "Free space on the disk of the server's data folder, delete galleries or reports; then call again."


class InternalError(Failure):
    """A defect of the server; the log holds it under the request id."""

    reason = "INTERNAL"
    remedy = "Report the request id to whoever runs the server."


class DeviceLost(Failure):
    """The device that runs the models stopped working; the server must be started anew."""

    reason = "DEVICE_LOST"
    remedy = "Call another server; whoever runs this one must look at its device and start it again."


class CallEnded(Failure):
    """The call was cancelled, or its deadline passed, and its work was left undone."""

    reason = "CALL_ENDED"
    remedy = "Call again, with a longer deadline if it had passed."


# --- what stops the process -------------------------------------------------------------------------------


class ConfigUnknownKey(Unrecoverable):
    """The configuration holds a key that does not exist."""

    reason = "CONFIG_UNKNOWN_KEY"
    remedy = "Correct or remove the key; `fr serve --print-config` shows every key there is."


class ConfigInvalid(Unrecoverable):
    """The configuration cannot be read, or a value of it is out of range."""

    reason = "CONFIG_INVALID"
    remedy = "Correct the value; `fr serve --print-config` shows every key with its default."


class UnknownPack(Unrecoverable):
    """There is no model pack of that name."""

    reason = "UNKNOWN_PACK"
    remedy = "`fr models list` shows the packs there are."


class PackInvalid(Unrecoverable):
    """A model pack's manifest breaks the rules of manifests."""

    reason = "PACK_INVALID"
    remedy = "Correct the pack's TOML; docs/packs.md describes each key."


class ModelNotInstalled(Unrecoverable):
    """A file of the model pack is not in the cache."""

    reason = "MODEL_NOT_INSTALLED"
    remedy = "Fetch the pack with `fr models fetch PACK`."


class ModelCorrupt(Unrecoverable):
    """A model file is not the file that the pack names: its sha256 differs."""

    reason = "MODEL_CORRUPT"
    remedy = "Nothing was loaded. Delete the file and fetch the pack again with `fr models fetch PACK`."


class FetchFailed(Unrecoverable):
    """No source of a file could deliver it."""

    reason = "FETCH_FAILED"
    remedy = "Check the network, or put the file into the cache by hand and run `fr models verify PACK`."


class DeviceUnavailable(Unrecoverable):
    """The device that was asked for is not there, or the runtime does not use it."""

    reason = "DEVICE_UNAVAILABLE"
    remedy = "Choose another device or precision; device `auto` with precision `f32` runs everywhere."


class AddressUnavailable(Unrecoverable):
    """The server cannot listen on the address: it is taken, not of this machine, or not allowed."""

    reason = "ADDRESS_UNAVAILABLE"
    remedy = "Stop what listens there, or choose another host or port in the configuration; port 0 takes any free port."


class FrontendsFailed(Unrecoverable):
    """Front-end processes of the server do not start, or end again and again."""

    reason = "FRONTENDS_FAILED"
    remedy = "Look for the reason in the log, such as too little memory; `server.frontends = 0` does without them."


class StoreInUse(Unrecoverable):
    """Another process has the data folder open."""

    reason = "STORE_IN_USE"
    remedy = "Stop the other server, or give this one a data folder of its own."


class StoreNewer(Unrecoverable):
    """The store was written by a newer version of FR Core."""

    reason = "STORE_NEWER"
    remedy = "Run the version that wrote it, or a later one; nothing was changed."


class KeyUnavailable(Unrecoverable):
    """The key of the galleries cannot be had: not set, not readable, readable by others, or no key."""

    reason = "KEY_UNAVAILABLE"
    remedy = (
        "Name the key as `file:PATH` (mode 0600), `env:NAME` or `command:CMD ARGS`; each gives 64 hexadecimal digits."
    )


class WrongKey(Unrecoverable):
    """The store is encrypted under another key."""

    reason = "WRONG_KEY"
    remedy = "Start with the key that the store was made or last rotated with; nothing was changed."


class NoStore(Unrecoverable):
    """The folder holds no store, or one that this version has not brought up to date yet."""

    reason = "NO_STORE"
    remedy = "Name the data folder of a server that has run with this version."


class TargetTaken(Unrecoverable):
    """What is to be written would replace something."""

    reason = "TARGET_TAKEN"
    remedy = "Name a file that does not exist, or an empty folder; nothing was changed."


class BackupUnusable(Unrecoverable):
    """A backup, or the file of its keys, is damaged, not there, or no such file."""

    reason = "BACKUP_UNUSABLE"
    remedy = "Nothing was changed. Take another backup, always with the newest file of keys."


class BackupMismatch(Unrecoverable):
    """The file of keys is of another store, or older than what it is used with."""

    reason = "BACKUP_MISMATCH"
    remedy = "Give the newest file of keys of the same store; nothing was changed."


def all_errors() -> Iterator[type[FrError]]:
    """Yield every class that carries a reason, in the order of this file."""

    def walk(cls: type[FrError]) -> Iterator[type[FrError]]:
        for child in cls.__subclasses__():
            if child.reason:
                yield child
            yield from walk(child)

    return walk(FrError)
