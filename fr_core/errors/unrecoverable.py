"""Errors that stop the process until a person has acted."""

from types import MappingProxyType

from fr_core.errors.base import Unrecoverable

_PACK = MappingProxyType({"pack": "PACK"})


class ConfigUnknownKey(Unrecoverable):
    """The configuration holds a key that does not exist."""

    reason = "CONFIG_UNKNOWN_KEY"


class ConfigInvalid(Unrecoverable):
    """The configuration cannot be read, or a value of it is out of range."""

    reason = "CONFIG_INVALID"


class UnknownPack(Unrecoverable):
    """There is no model pack with this name."""

    reason = "UNKNOWN_PACK"


class PackInvalid(Unrecoverable):
    """A model pack's manifest breaks the rules of manifests."""

    reason = "PACK_INVALID"


class ModelNotInstalled(Unrecoverable):
    """A file of the model pack is not in the cache."""

    reason = "MODEL_NOT_INSTALLED"
    placeholders = _PACK


class ModelCorrupt(Unrecoverable):
    """A model file is not the file that the pack names: its sha256 differs."""

    reason = "MODEL_CORRUPT"
    placeholders = _PACK


class FetchFailed(Unrecoverable):
    """No source of a file could deliver it."""

    reason = "FETCH_FAILED"


class DeviceUnavailable(Unrecoverable):
    """The requested device is missing, or the runtime cannot use it."""

    reason = "DEVICE_UNAVAILABLE"


class AddressUnavailable(Unrecoverable):
    """The server cannot listen on the address: it is in use, does not belong to this machine, or is not allowed."""

    reason = "ADDRESS_UNAVAILABLE"


class FrontendsFailed(Unrecoverable):
    """Front-end processes of the server do not start, or keep ending."""

    reason = "FRONTENDS_FAILED"


class StoreInUse(Unrecoverable):
    """Another process has the data folder open."""

    reason = "STORE_IN_USE"


class StoreExposed(Unrecoverable):
    """Other users can change a store: they can write to its folder, or one of its files has another name."""

    reason = "STORE_EXPOSED"


class StoreNewer(Unrecoverable):
    """The store was written by a newer version of FR Core."""

    reason = "STORE_NEWER"


class KeyUnavailable(Unrecoverable):
    """The key of the galleries is not available: it is not set, not readable, readable by others, or not a key."""

    reason = "KEY_UNAVAILABLE"


class WrongKey(Unrecoverable):
    """The store is encrypted with another key."""

    reason = "WRONG_KEY"


class NoStore(Unrecoverable):
    """The folder has no store, or its store has not been upgraded to this version yet."""

    reason = "NO_STORE"


class TargetTaken(Unrecoverable):
    """The file or folder to write exists already."""

    reason = "TARGET_TAKEN"


class BackupUnusable(Unrecoverable):
    """A backup, or the file of its keys, is damaged, missing, or not such a file."""

    reason = "BACKUP_UNUSABLE"


class BackupMismatch(Unrecoverable):
    """The file of keys belongs to another store, or is too old for this backup."""

    reason = "BACKUP_MISMATCH"


class TlsUnusable(Unrecoverable):
    """A certificate or its key cannot be used."""

    reason = "TLS_UNUSABLE"


class PlaintextRefused(Unrecoverable):
    """The server would listen beyond this machine without encryption, or without authentication."""

    reason = "PLAINTEXT_REFUSED"


class FileTampered(Unrecoverable):
    """A file has changed since it was sealed."""

    reason = "FILE_TAMPERED"


class EvidenceUnusable(Unrecoverable):
    """An evidence bundle cannot be read, or was changed."""

    reason = "EVIDENCE_UNUSABLE"
