"""Errors that stop the process until a person has acted."""

from __future__ import annotations

from fr_core.errors.base import Unrecoverable


class ConfigUnknownKey(Unrecoverable):
    """The configuration holds a key that does not exist."""

    reason = "CONFIG_UNKNOWN_KEY"
    remedy = "Correct or remove the key; `fr serve --print-config` shows every key."


class ConfigInvalid(Unrecoverable):
    """The configuration cannot be read, or a value of it is out of range."""

    reason = "CONFIG_INVALID"
    remedy = "Correct the value; `fr serve --print-config` shows every key with its default."


class UnknownPack(Unrecoverable):
    """There is no model pack with this name."""

    reason = "UNKNOWN_PACK"
    remedy = "`fr models list` shows the packs."


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
    """The requested device is missing, or the runtime cannot use it."""

    reason = "DEVICE_UNAVAILABLE"
    remedy = "Choose another device or precision; device `auto` with precision `f32` runs everywhere."


class AddressUnavailable(Unrecoverable):
    """The server cannot listen on the address: it is in use, does not belong to this machine, or is not allowed."""

    reason = "ADDRESS_UNAVAILABLE"
    remedy = "Stop the program that listens there, or configure another host or port; port 0 takes any free port."


class FrontendsFailed(Unrecoverable):
    """Front-end processes of the server do not start, or keep ending."""

    reason = "FRONTENDS_FAILED"
    remedy = "Look for the reason in the log, such as too little memory; `server.frontends = 0` needs none of them."


class StoreInUse(Unrecoverable):
    """Another process has the data folder open."""

    reason = "STORE_IN_USE"
    remedy = "Stop the other server, or give this one its own data folder."


class StoreExposed(Unrecoverable):
    """Other users can change a store: they can write to its folder, or one of its files has another name."""

    reason = "STORE_EXPOSED"
    remedy = (
        "Stop every other program that uses it. Run `chmod 700` on the folder. If a file is a link or has several "
        "names, replace it with a copy."
    )


class StoreNewer(Unrecoverable):
    """The store was written by a newer version of FR Core."""

    reason = "STORE_NEWER"
    remedy = "Run the version that wrote it, or a later one; nothing was changed."


class KeyUnavailable(Unrecoverable):
    """The key of the galleries is not available: it is not set, not readable, readable by others, or not a key."""

    reason = "KEY_UNAVAILABLE"
    remedy = (
        "Name the key as `file:PATH` (mode 0600), `env:NAME` or `command:CMD ARGS`; each gives 64 hexadecimal digits."
    )


class WrongKey(Unrecoverable):
    """The store is encrypted with another key."""

    reason = "WRONG_KEY"
    remedy = (
        "Use the key that the store was created or last rotated with; nothing was changed. If `fr gallery key rotate` "
        "was interrupted, run it again."
    )


class NoStore(Unrecoverable):
    """The folder has no store, or its store has not been upgraded to this version yet."""

    reason = "NO_STORE"
    remedy = "Name the data folder of a server that has run with this version."


class TargetTaken(Unrecoverable):
    """The file or folder to write exists already."""

    reason = "TARGET_TAKEN"
    remedy = "Name a file that does not exist, or an empty folder; nothing was changed."


class BackupUnusable(Unrecoverable):
    """A backup, or the file of its keys, is damaged, missing, or not such a file."""

    reason = "BACKUP_UNUSABLE"
    remedy = "Nothing was changed. Take another backup, always with the newest file of keys."


class BackupMismatch(Unrecoverable):
    """The file of keys belongs to another store, or is too old for this backup."""

    reason = "BACKUP_MISMATCH"
    remedy = "Give the newest file of keys of the same store; nothing was changed."


class TlsUnusable(Unrecoverable):
    """A certificate or its key cannot be used."""

    reason = "TLS_UNUSABLE"
    remedy = (
        "Correct the file. `fr server renew` makes a new certificate and key; `fr server revoke-certificate --renew` "
        "writes the list of revoked certificates again."
    )


class PlaintextRefused(Unrecoverable):
    """The server would listen beyond this machine without encryption, or without authentication."""

    reason = "PLAINTEXT_REFUSED"
    remedy = "Run `fr server init` and start with the configuration that it writes, or listen on 127.0.0.1."


class FileTampered(Unrecoverable):
    """A file has changed since it was sealed."""

    reason = "FILE_TAMPERED"
    remedy = "Find out who changed it. If the change is intended, seal the file again with `fr server seal`."


class EvidenceUnusable(Unrecoverable):
    """An evidence bundle cannot be read, or was changed."""

    reason = "EVIDENCE_UNUSABLE"
    remedy = "Ask for the bundle again, and compare its sha256 with the value from the person who made it."
