"""Opens the client for a command, asks questions, and ends a command with an error."""

import errno
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NoReturn, cast

import typer

from fr_client.cli.plugins import INTERRUPTED
from fr_client.cli.show import console, plain, print_json, print_line, waiting
from fr_client.errors import FrApiError
from fr_client.identity import TlsCredentials, tls_credentials
from fr_client.sync.calls import Part
from fr_client.sync.client import Client
from fr_client.words import ReadingPurpose
from fr_files.reading import read_whole

_MAX_KEY_BYTES = 64 * 1024
# Of standard output that goes to a file; a closed pipe ends a command silently.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def argument(metavar: str, words: str, parser: Callable[[str], Any] | None = None) -> Any:
    """Return the description of an argument of a command that has no default to show."""
    return typer.Argument(metavar=metavar, help=words, show_default=False, parser=parser)


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ForPurpose = Annotated[
    ReadingPurpose | None,
    typer.Option(
        "--purpose",
        help="Why you read; required for an operational gallery. Use gallery-maintenance to maintain records.",
        show_default=False,
    ),
]
ForCase = Annotated[
    str, typer.Option("--case", metavar="REFERENCE", help="Reference of the case or request.", show_default=False)
]
GalleryId = Annotated[str, argument("GALLERY", "Id of the gallery.")]


def _set_downscale(context: typer.Context, no_downscale: bool) -> None:
    context.obj = replace(context.obj, downscale=not no_downscale)


# A command only declares this option; the client of the context reads it.
NoDownscale = Annotated[
    bool,
    typer.Option(
        "--no-downscale",
        callback=_set_downscale,
        help="Refuse photos that are over the server's limits; do not scale them down.",
    ),
]


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `fr` itself; `server` is HOST:PORT, and `timeout_s` the seconds that one call may take."""

    server: str
    timeout_s: float
    key_file: Path | None = None  # file of the API key or token; None to use `token`
    token: str = field(default="", repr=False)
    ca: Path | bytes | None = None  # the trusted authorities, PEM, or their file; None for no encryption, unless `tls`
    tls: bool = False  # whether to use TLS with the authorities of the system if `ca` is not given
    certificate: Path | None = None
    certificate_key: Path | None = None
    connection: Path | None = None  # the connection file that has `ca`, for messages; None if it comes from elsewhere
    downscale: bool = True  # whether to scale down photos that are over the server's limits

    def open(self) -> Client:
        """Open the client; raises `Unusable` if a file cannot be read, or a key would be sent without encryption."""
        with self._readable():
            token = self.token if self.key_file is None else read_whole(self.key_file, _MAX_KEY_BYTES).decode().strip()
            if self.key_file is not None and not token:
                raise ValueError(f"{self.key_file} is empty, so it holds no key.")
            credentials = self.channel_credentials()
            return Client(
                self.server, timeout_s=self.timeout_s, credentials=credentials, token=token, downscale=self.downscale
            )

    def channel_credentials(self) -> TlsCredentials | None:
        """Return those of TLS, None for no encryption; raises `Unusable` if a file cannot be read."""
        if not self.tls and self.ca is None and self.certificate is None:
            return None
        with self._readable():
            made = tls_credentials(self.ca, self.certificate, self.certificate_key)
        if not isinstance(self.ca, bytes) or self.connection is None:
            return made
        return replace(made, trusted=f"the authority in {self.connection}")

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unusable("FILE_UNREADABLE", f"{error.filename} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise Unusable("INVALID_FIELD", str(error)) from error


class Unusable(Exception):
    """Something on this machine prevents the command; `reason` is stable, such as "FILE_UNREADABLE"."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@contextmanager
def reporting(as_json: bool, options: Collection[str] = (), lines: bool = False) -> Iterator[None]:
    """End the command with one line on standard error if the block raises an error.

    With `as_json`, the error is also a JSON document on standard output; with `lines`, it is in one line. The line on
    standard error names only remedies that the `options` of the command allow.
    """
    try:
        try:
            yield
        except UnicodeEncodeError as error:
            words = "A value on the command line is not text in UTF-8; type it again."
            raise Unusable("INVALID_FIELD", words) from error
    except OSError as error:
        if error.filename is not None or error.errno not in _NO_ROOM:
            raise
        sys.stdout = None  # what is left of it would fail again at the end
        fail(Unusable("FILE_UNWRITABLE", f"The answer cannot be written: {error.strerror}."))
    except (FrApiError, Unusable) as error:
        if as_json:
            (print_line if lines else print_json)({"error": error_keys(error)})
        fail(error, options)


@contextmanager
def connected(context: typer.Context, as_json: bool, lines: bool = False) -> Iterator[Client]:
    """Open the client for the server of `context`, and report errors as `reporting` does.

    On a terminal, the client shows each call that takes long.
    """
    settings: Settings = context.obj
    with reporting(as_json, options_of(context), lines), settings.open() as client:
        yield cast("Client", _Shown(client, client.target)) if console(stderr=True).is_terminal else client


def options_of(context: typer.Context) -> list[str]:
    """Return the names of all options of a command."""
    return [name for parameter in context.command.params for name in parameter.opts]


@dataclass(frozen=True, slots=True)
class _Shown:
    """A client, or a part of a client, that shows on the terminal each call that takes long."""

    part: object
    target: str

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.part, name)
        if isinstance(found, Part):
            return _Shown(found, self.target)
        return partial(self._call, found) if callable(found) else found

    def _call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if "on_progress" in kwargs:  # which shows more
            return method(*args, **kwargs)
        with waiting(f"Waiting for {self.target}"):
            return method(*args, **kwargs)


def confirm(question: str, yes: bool, kept: str = "Nothing was deleted.") -> None:
    """Ask on standard error, unless `yes`; if the answer is no, print `kept` and end with exit status 1."""
    if yes:
        return
    # Not `typer.confirm`, which writes to standard output: that is for the answer.
    typer.echo(f"{question} [y/N]: ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        typer.echo(kept, err=True)
        raise typer.Exit(1)


def require_one_criterion(**criteria: float | None) -> None:
    """End the command if more than one of a threshold and its rates is given; names are those of the options."""
    given = [f"--{name.replace('_', '-')}" for name, value in criteria.items() if value is not None]
    for second in given[1:]:
        require_one_of(True, True, given[0], second)


def require_one_of(first: bool, second: bool, first_option: str, second_option: str) -> None:
    """End the command if two options that contradict each other are both given."""
    if first and second:
        raise typer.BadParameter(f"It contradicts {second_option}; give one of both.", param_hint=first_option)


def days_long(days: float | None) -> timedelta | None:
    """Return a number of days as a length of time; None stays None."""
    return None if days is None else timedelta(days=days)


def key_values(pairs: Sequence[str], option: str) -> dict[str, str]:
    """Return the metadata of pairs KEY=VALUE of an option; ends the command if one is not such a pair."""
    split = [pair.partition("=") for pair in pairs]
    if any(not key or not equals for key, equals, _ in split):
        raise typer.BadParameter("It is KEY=VALUE, such as list=missing.", param_hint=option)
    found = {key: value for key, _, value in split}
    if len(found) < len(split):
        raise typer.BadParameter("A key has one value; name each key once.", param_hint=option)
    return found


def error_keys(error: FrApiError | Unusable) -> dict[str, Any]:
    """Return an error as JSON has it."""
    keys = {"reason": error.reason, "message": error.message}
    if isinstance(error, Unusable):
        return keys
    return {**keys, "code": error.code.name, "metadata": error.metadata, "request_id": error.request_id}


def fail(error: FrApiError | Unusable, options: Collection[str] = ()) -> NoReturn:
    """Write the sentence of an error, and its remedy, and end the command with exit status 1."""
    hint = remedy_of(error.reason, options)
    reason = f"{error.reason}: " if error.reason else ""
    request = f" (request {error.request_id})" if isinstance(error, FrApiError) and error.request_id else ""
    typer.echo(plain(f"{reason}{error.message}{hint and f' {hint}'}{request}").plain, err=True)
    raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Remedy:
    """A sentence about commands and options to type; only a command that has all of `options` says it."""

    sentence: str
    options: tuple[str, ...] = ()


REMEDIES: Mapping[str, Remedy] = MappingProxyType(
    {
        "CREDENTIAL_MISSING": Remedy("`fr --connection FILE` takes the key from a connection file."),
        "PURPOSE_REQUIRED": Remedy(
            "The options are --purpose and --case. Use the purpose gallery-maintenance to maintain records, not for "
            "searches with a photo.",
            ("--purpose", "--case"),
        ),
        "IMAGE_TOO_MANY_PIXELS": Remedy(
            "Without --no-downscale, `fr` scales it down if Pillow is installed (pip install pillow) and can read it.",
            ("--no-downscale",),
        ),
        "SEVERAL_FACES": Remedy(
            "The option is --several-faces largest; `fr search --several-faces all` searches each face.",
            ("--several-faces",),
        ),
        "INVALID_TOP_K": Remedy("The option is --top-k.", ("--top-k",)),
        "INVALID_THRESHOLD": Remedy("The option is --threshold.", ("--threshold",)),
        "INVALID_FILTER": Remedy("The options are --where and --subject.", ("--where", "--subject")),
        "REVIEW_UNFINISHED": Remedy("Or export it as it is, with --include-unfinished.", ("--include-unfinished",)),
        "UNKNOWN_KEY": Remedy("`fr key list` lists them, for an admin; `fr whoami` names yours."),
        "UNKNOWN_GALLERY": Remedy("With --create, this command creates it.", ("--create",)),
        "UNKNOWN_SUBJECT": Remedy("`fr subject list GALLERY` lists them."),
        "UNKNOWN_TEMPLATE": Remedy("`fr subject show GALLERY SUBJECT` shows them."),
        "CASE_EXISTS": Remedy("`fr case list` lists those that you may see."),
        "UNKNOWN_CASE": Remedy("`fr case list` lists them. CASE is the id of a case, not its reference."),
        "UNKNOWN_EXAMINATION": Remedy("`fr case show CASE` and `fr review list` list them."),
        "NO_CALIBRATION": Remedy("`fr gallery calibrate` sets one."),
        "DATASET_UNAVAILABLE": Remedy("`fr report dataset list` lists them."),
        "UNKNOWN_REPORT": Remedy("`fr report list` lists them."),
        "PLAN_INVALID": Remedy("`fr train plan check FILE` shows its contents and its needs."),
        "UNKNOWN_COURSE": Remedy("`fr train course list` lists them."),
        "UNKNOWN_COHORT": Remedy("`fr train cohort list` lists them."),
        "UNKNOWN_TRAINEE": Remedy("`fr train cohort show COHORT` lists the ids, for a trainer."),
        "NOT_RELEASED": Remedy("`fr train item release` does it, for a trainer."),
        "TEST_ITEMS": Remedy("The option is --tests.", ("--tests",)),
        "ITEMS_AHEAD": Remedy("The option is --before-all-finished.", ("--before-all-finished",)),
        "UNKNOWN_PLAN": Remedy("`fr train plan list` lists them."),
        "UNKNOWN_ITEM": Remedy("`fr train course sheet COURSE` shows them."),
        "GALLERY_EXPIRED": Remedy("`fr gallery update GALLERY --expires DATE` gives it a later end."),
        "UNKNOWN_VIDEO": Remedy("`fr footage list` lists them, and `fr footage analyze` sends a file."),
        "TOO_MANY_VIDEOS": Remedy("`fr footage list` lists them, and `fr footage delete` deletes one."),
        "TOO_MANY_KEYS": Remedy("`fr key list` lists them, and `fr key revoke KEY` revokes one."),
        "UNREACHABLE": Remedy("`fr --server HOST:PORT`, or FR_SERVER, names another address."),
        "TIMED_OUT": Remedy("`fr --timeout SECONDS` allows more."),
        "TLS_REQUIRED": Remedy("`fr --connection FILE` takes a connection file, and `fr --ca FILE` an authority."),
        "CLIENT_CERTIFICATE_MISSING": Remedy("`fr --certificate FILE --certificate-key FILE` gives it."),
    }
)
"""Reason -> remedy."""


def remedy_of(reason: str, options: Collection[str]) -> str:
    """Return the sentence for the reason of a refusal and the options of the command; "" if there is none."""
    hint = REMEDIES.get(reason)
    return hint.sentence if hint is not None and set(hint.options) <= set(options) else ""


# Exit status if all is done, and some photos or rows were refused, or could not be read.
SOME_REFUSED = 3


@dataclass(slots=True)
class Ending:
    """The end of a run: the error that stopped it, if any, and whether Ctrl-C did."""

    error: FrApiError | Unusable | None = None
    interrupted: bool = False

    @property
    def early(self) -> bool:
        """Return whether the run stopped before all was done."""
        return self.error is not None or self.interrupted

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Record what stops the block, so that the command can still print its results."""
        try:
            yield
        except (FrApiError, Unusable) as error:
            self.error = error
        except KeyboardInterrupt:
            self.interrupted = True

    def leave(self, some_refused: bool) -> None:
        """End the command with the exit status of the run, and with the sentence of its error."""
        if self.error is not None:
            fail(self.error)
        if self.interrupted:
            raise typer.Exit(INTERRUPTED)
        if some_refused:
            raise typer.Exit(SOME_REFUSED)
