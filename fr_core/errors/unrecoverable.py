"""Errors that stop the process until a person has acted."""

from types import MappingProxyType

from fr_core.errors.base import Unrecoverable

_PACK = MappingProxyType({"pack": "PACK"})


class ConfigUnknownKey(Unrecoverable, reason="CONFIG_UNKNOWN_KEY"):
    """The configuration holds a key that does not exist."""


class ConfigInvalid(Unrecoverable, reason="CONFIG_INVALID"):
    """The configuration cannot be read, or a value of it is out of range."""


class UnknownPack(Unrecoverable, reason="UNKNOWN_PACK"):
    """There is no model pack with this name."""


class PackInvalid(Unrecoverable, reason="PACK_INVALID"):
    """A model pack's manifest breaks the rules of manifests."""


class ModelNotInstalled(Unrecoverable, reason="MODEL_NOT_INSTALLED"):
    """A file of the model pack is not in the cache."""

    placeholders = _PACK


class ModelCorrupt(Unrecoverable, reason="MODEL_CORRUPT"):
    """A model file is not the file that the pack names: its sha256 differs."""

    placeholders = _PACK


class FetchFailed(Unrecoverable, reason="FETCH_FAILED"):
    """No source of a file could deliver it."""


class DeviceUnavailable(Unrecoverable, reason="DEVICE_UNAVAILABLE"):
    """The requested device is missing, or the runtime cannot use it."""


class AddressUnavailable(Unrecoverable, reason="ADDRESS_UNAVAILABLE"):
    """The server cannot listen on the address: it is in use, does not belong to this machine, or is not allowed."""


class FrontendsFailed(Unrecoverable, reason="FRONTENDS_FAILED"):
    """Front-end processes of the server do not start, or keep ending."""


class StoreInUse(Unrecoverable, reason="STORE_IN_USE"):
    """Another process has the data folder open."""


class StoreExposed(Unrecoverable, reason="STORE_EXPOSED"):
    """Other users can change a store: they can write to its folder, or a file is a link or has several names."""


class StoreNewer(Unrecoverable, reason="STORE_NEWER"):
    """The store was written by a newer version of FR Core."""


class KeyUnavailable(Unrecoverable, reason="KEY_UNAVAILABLE"):
    """The key of the galleries is not available: it is not set, not readable, readable by others, or not a key."""


class WrongKey(Unrecoverable, reason="WRONG_KEY"):
    """The store is encrypted with another key."""


class NoStore(Unrecoverable, reason="NO_STORE"):
    """The folder or database has no store, or its store has not been upgraded to this version yet."""


class TargetTaken(Unrecoverable, reason="TARGET_TAKEN"):
    """The file, the folder or the store to write exists already."""


class BackupUnusable(Unrecoverable, reason="BACKUP_UNUSABLE"):
    """A backup, or the file of its keys, is damaged, missing, or not such a file."""


class BackupMismatch(Unrecoverable, reason="BACKUP_MISMATCH"):
    """The file of keys belongs to another store, or is too old for this backup."""


class TlsUnusable(Unrecoverable, reason="TLS_UNUSABLE"):
    """A certificate or its key cannot be used."""


class PlaintextRefused(Unrecoverable, reason="PLAINTEXT_REFUSED"):
    """The server would listen beyond this machine without encryption, or without authentication."""


class FileTampered(Unrecoverable, reason="FILE_TAMPERED"):
    """A file has changed since it was sealed."""


class EvidenceUnusable(Unrecoverable, reason="EVIDENCE_UNUSABLE"):
    """An evidence bundle cannot be read, or was changed."""


class BackupElsewhere(Unrecoverable, reason="BACKUP_ELSEWHERE"):
    """The galleries lie in a PostgreSQL database, which has its own backups."""


class DatabaseUnreachable(Unrecoverable, reason="DATABASE_UNREACHABLE"):
    """The PostgreSQL server does not answer, refuses the login, or does not speak TLS."""


class DatabaseUnusable(Unrecoverable, reason="DATABASE_UNUSABLE"):
    """The PostgreSQL server would not keep what it has acknowledged, is too old, or accepts no changes."""
