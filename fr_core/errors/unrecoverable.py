"""Errors that stop the process until a person has acted."""

from __future__ import annotations

from fr_core.errors.base import Unrecoverable
from fr_locales.messages import message


class ConfigUnknownKey(Unrecoverable):
    """The configuration holds a key that does not exist."""

    reason = "CONFIG_UNKNOWN_KEY"
    remedy = message("remedy.config_unknown_key")


class ConfigInvalid(Unrecoverable):
    """The configuration cannot be read, or a value of it is out of range."""

    reason = "CONFIG_INVALID"
    remedy = message("remedy.config_invalid")


class UnknownPack(Unrecoverable):
    """There is no model pack with this name."""

    reason = "UNKNOWN_PACK"
    remedy = message("remedy.unknown_pack")


class PackInvalid(Unrecoverable):
    """A model pack's manifest breaks the rules of manifests."""

    reason = "PACK_INVALID"
    remedy = message("remedy.pack_invalid")


class ModelNotInstalled(Unrecoverable):
    """A file of the model pack is not in the cache."""

    reason = "MODEL_NOT_INSTALLED"
    remedy = message("remedy.model_not_installed")


class ModelCorrupt(Unrecoverable):
    """A model file is not the file that the pack names: its sha256 differs."""

    reason = "MODEL_CORRUPT"
    remedy = message("remedy.model_corrupt")


class FetchFailed(Unrecoverable):
    """No source of a file could deliver it."""

    reason = "FETCH_FAILED"
    remedy = message("remedy.fetch_failed")


class DeviceUnavailable(Unrecoverable):
    """The requested device is missing, or the runtime cannot use it."""

    reason = "DEVICE_UNAVAILABLE"
    remedy = message("remedy.device_unavailable")


class AddressUnavailable(Unrecoverable):
    """The server cannot listen on the address: it is in use, does not belong to this machine, or is not allowed."""

    reason = "ADDRESS_UNAVAILABLE"
    remedy = message("remedy.address_unavailable")


class FrontendsFailed(Unrecoverable):
    """Front-end processes of the server do not start, or keep ending."""

    reason = "FRONTENDS_FAILED"
    remedy = message("remedy.frontends_failed")


class StoreInUse(Unrecoverable):
    """Another process has the data folder open."""

    reason = "STORE_IN_USE"
    remedy = message("remedy.store_in_use")


class StoreExposed(Unrecoverable):
    """Other users can change a store: they can write to its folder, or one of its files has another name."""

    reason = "STORE_EXPOSED"
    remedy = message("remedy.store_exposed")


class StoreNewer(Unrecoverable):
    """The store was written by a newer version of FR Core."""

    reason = "STORE_NEWER"
    remedy = message("remedy.store_newer")


class KeyUnavailable(Unrecoverable):
    """The key of the galleries is not available: it is not set, not readable, readable by others, or not a key."""

    reason = "KEY_UNAVAILABLE"
    remedy = message("remedy.key_unavailable")


class WrongKey(Unrecoverable):
    """The store is encrypted with another key."""

    reason = "WRONG_KEY"
    remedy = message("remedy.wrong_key")


class NoStore(Unrecoverable):
    """The folder has no store, or its store has not been upgraded to this version yet."""

    reason = "NO_STORE"
    remedy = message("remedy.no_store")


class TargetTaken(Unrecoverable):
    """The file or folder to write exists already."""

    reason = "TARGET_TAKEN"
    remedy = message("remedy.target_taken")


class BackupUnusable(Unrecoverable):
    """A backup, or the file of its keys, is damaged, missing, or not such a file."""

    reason = "BACKUP_UNUSABLE"
    remedy = message("remedy.backup_unusable")


class BackupMismatch(Unrecoverable):
    """The file of keys belongs to another store, or is too old for this backup."""

    reason = "BACKUP_MISMATCH"
    remedy = message("remedy.backup_mismatch")


class TlsUnusable(Unrecoverable):
    """A certificate or its key cannot be used."""

    reason = "TLS_UNUSABLE"
    remedy = message("remedy.tls_unusable")


class PlaintextRefused(Unrecoverable):
    """The server would listen beyond this machine without encryption, or without authentication."""

    reason = "PLAINTEXT_REFUSED"
    remedy = message("remedy.plaintext_refused")


class FileTampered(Unrecoverable):
    """A file has changed since it was sealed."""

    reason = "FILE_TAMPERED"
    remedy = message("remedy.file_tampered")


class EvidenceUnusable(Unrecoverable):
    """An evidence bundle cannot be read, or was changed."""

    reason = "EVIDENCE_UNUSABLE"
    remedy = message("remedy.evidence_unusable")
