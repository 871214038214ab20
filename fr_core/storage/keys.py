"""Loads and makes the key-encryption key: 32 bytes that open every store made with it, and lie outside of it."""

import hashlib
import logging
import os
import re
import secrets
import shlex
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from fr_core.errors import KeyUnavailable, message
from fr_core.storage.durable import cause, sync, write_new
from fr_files.reading import open_to_others

_log = logging.getLogger(__name__)

KEY_BYTES = 32

_COMMAND_S = 30.0
_ID_PREFIX = b"fr-core key-encryption key"
_KEY_ID = re.compile(r"[0-9a-f]{16}")
_KEY_TEXT = re.compile(r"[0-9a-fA-F]{64}\n?")
# A key has 65 bytes; a large file that was named by mistake is not read as a whole.
_LONGEST = 128


@dataclass(frozen=True, slots=True)
class KeyEncryptionKey:
    """The key that wraps the keys of a store; its bytes show in no text of it.

    Raises `ValueError`: of another length.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise ValueError(f"a key-encryption key has {KEY_BYTES} bytes")

    @property
    def key_id(self) -> str:
        """16 hexadecimal digits that tell keys apart and reveal nothing of them."""
        return hashlib.sha256(_ID_PREFIX + self.secret).hexdigest()[:16]


def is_key_id(text: object) -> bool:
    """Return whether a key can have this `key_id`."""
    return isinstance(text, str) and _KEY_ID.fullmatch(text) is not None


def load_key(source: str) -> KeyEncryptionKey:
    """Return the key of a source.

    Args:
        source: `file:PATH`, `env:NAME`, or `command:CMD ARGS`, which is run without a shell and has 30 seconds to print
            the key. The key is written as 64 hexadecimal digits; one line break may follow.

    Raises `KeyUnavailable`: another source, nothing there, no key, or a file that others can read.
    """
    kind, colon, rest = source.partition(":")
    readers = {"file": _from_file, "env": _from_environment, "command": _from_command}
    # A source of another kind may be the key itself, so that it is not repeated.
    if not colon or kind not in readers or not rest:
        raise KeyUnavailable(message("error.storage.source_key_neither_file"))
    text = readers[kind](rest)
    if not _KEY_TEXT.fullmatch(text):
        raise KeyUnavailable(message("error.storage.what_source_key_holds"), source=kind)
    return KeyEncryptionKey(bytes.fromhex(text.strip()))


def new_key_file(path: Path) -> KeyEncryptionKey:
    """Make a random key and write it to a new file of mode 0600, durably.

    Raises:
        KeyUnavailable: there is a file of that name, or it cannot be written; nothing is left of it then.
    """
    key = KeyEncryptionKey(secrets.token_bytes(KEY_BYTES))
    try:
        write_new(path, f"{key.secret.hex()}\n".encode())
        try:
            sync(path.parent)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise KeyUnavailable(message("error.storage.file_key_cannot_written"), errno=cause(error)) from error
    return key


def key_beside(folder: Path, new: bool) -> KeyEncryptionKey:
    """Return the key in the file beside a data folder, FOLDER.key; makes it if nothing is under a key yet (`new`).

    Raises:
        KeyUnavailable: the file is not there, and `new` is false; or as `load_key` and `new_key_file`.
    """
    path = folder.with_name(f"{folder.name}.key")
    if path.exists():
        return load_key(f"file:{path}")
    if not new:
        raise KeyUnavailable(message("error.storage.key_galleries_not_beside", path=path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KeyUnavailable(message("error.storage.file_key_cannot_made"), errno=cause(error)) from error
    key = new_key_file(path)
    _log.warning("The key %s was made in %s: keep a copy apart, without it nothing can be read", key.key_id, path)
    return key


def _from_file(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            found = os.fstat(file.fileno())
            if open_to_others(found):
                raise KeyUnavailable(message("error.storage.file_key_can_read"), source="file")
            if found.st_nlink > 1:
                raise KeyUnavailable(message("error.storage.key_file_second_name"), source="file")
            return _text(file.read(_LONGEST))
    except OSError as error:
        raise KeyUnavailable(message("error.storage.key_file_unreadable"), source="file", errno=cause(error)) from error


def _from_environment(name: str) -> str:
    text = os.environ.get(name)
    if text is None:
        raise KeyUnavailable(message("error.storage.environment_variable_key_not"), source="env")
    return text


def command_of(line: str) -> list[str]:
    """Return the words of a command that prints a key; raises `KeyUnavailable` where it is none."""
    try:
        command = shlex.split(line)
    except ValueError as error:
        raise KeyUnavailable(message("error.storage.command_key_quotation_does"), source="command") from error
    if not command:
        raise KeyUnavailable(message("error.storage.command_key_empty"), source="command")
    return command


def _from_command(line: str) -> str:
    command = command_of(line)
    # To all processes of a server, SIGHUP has it read this very key: it is not for the command.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))
    try:
        # What it says on stderr may hold a secret of the key manager.
        ran = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError as error:
        raise KeyUnavailable(message("error.storage.no_key_command"), source="command", errno=cause(error)) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    late = threading.Event()

    def end() -> None:
        late.set()
        ran.kill()

    timer = threading.Timer(_COMMAND_S, end)
    timer.start()
    try:
        with ran:  # closes what it still prints into, and waits for its end
            assert ran.stdout is not None
            printed = ran.stdout.read(_LONGEST)
    finally:
        timer.cancel()
    if late.is_set():
        raise KeyUnavailable(message("error.storage.command_key_took_more", command_s=_COMMAND_S), source="command")
    if ran.returncode:
        raise KeyUnavailable(message("error.storage.command_key_failed"), source="command", status=str(ran.returncode))
    return _text(printed)


def _text(data: bytes) -> str:
    return data.decode("ascii", errors="replace")
