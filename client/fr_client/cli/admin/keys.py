"""`fr whoami` and `fr key`: shows the caller's identity, and makes, lists, rotates and revokes API keys."""

import hashlib
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, cast

import typer

from fr_api.v1 import access_pb2
from fr_client.cli import show
from fr_client.cli.files import new_file, read_file
from fr_client.cli.state import AsJson, Settings, Unusable, Yes, argument, confirm, connected, days_long, require_one_of
from fr_client.connection import Connection
from fr_client.errors import FrApiError
from fr_client.identity import certificates_of
from fr_client.sync.client import Client
from fr_client.unpack import message_keys
from fr_client.words import ROLE_NAMES, Role

# Two roles of which one checks the other -> why no key should have both; fr_server/authz/table.py has their rights.
APART: Mapping[frozenset[str], str] = MappingProxyType(
    {
        frozenset({"operator", "examiner"}): "an examiner who also searches cannot judge a search of its own",
        frozenset({"operator", "admin"}): "an admin who also searches can make a gallery that needs no purpose",
        frozenset({"examiner", "admin"}): "an admin can delete the cases that it has judged",
        frozenset({"trainer", "trainee"}): "a trainer reads and deletes results, its own too",
        frozenset({"auditor", "admin"}): "an auditor checks who makes keys and galleries",
        frozenset({"auditor", "operator"}): "an auditor checks who searches",
        frozenset({"auditor", "examiner"}): "an auditor checks who judges",
        frozenset({"auditor", "trainer"}): "an auditor checks who makes courses",
        frozenset({"auditor", "trainee"}): "an auditor checks who takes courses",
    }
)

# Role -> the options of which it needs at least one. An auditor reads the whole audit without any.
NEEDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "trainee": ("--course", "--gallery"),
        "trainer": ("--course",),
        "operator": ("--gallery",),
        "examiner": ("--gallery",),
        "admin": ("--gallery", "--course"),
    }
)

# The highest rate that a key can have; the server gives it to callers without a limit.
_MOST_REQUESTS_PER_S = 1e6


def warnings_of(key: access_pb2.ApiKey) -> list[str]:
    """Return a warning for each property of a key that is probably a mistake."""
    roles = [ROLE_NAMES[role] for role in key.roles if role in ROLE_NAMES]
    given = {"--gallery": bool(key.galleries), "--course": bool(key.courses)}
    together = [
        f"the key has two roles of which one checks the other, {' and '.join(sorted(pair))}: {why}. Make two keys."
        for pair, why in APART.items()
        if pair <= set(roles)
    ]
    idle = [
        f"the role {role} has nothing to act on without {' or '.join(NEEDS[role])}. Make another key, with it."
        for role in roles
        if role in NEEDS and not any(given[option] for option in NEEDS[role])
    ]
    return together + idle


@contextmanager
def own_end_told(client: Client) -> Iterator[None]:
    """If a new key would outlive the caller's own, say when that ends and what to do."""
    try:
        yield
    except FrApiError as error:
        if (error.reason, error.metadata.get("field")) != ("NOT_PERMITTED", "lifetime"):
            raise
        words = (
            f"{error.message} Your own key is the limit{_own_end(client)}. Ask for fewer --days, or leave them out; "
            "for more, make a newer admin key first, with `fr server key create` on the server's machine."
        )
        raise FrApiError(error.code, error.reason, words, error.metadata, request_id=error.request_id) from error


def _own_end(client: Client) -> str:
    own = client.access.who_am_i().principal_id
    keys = client.access.keys()
    found = next((one for one in keys if f"key:{one.key_id}" == own), None)
    return "" if found is None or not found.HasField("expire_time") else f": it ends {show.when(found.expire_time)}"


def question_before(client: Client, key_id: str) -> str:
    """Return the question before a key is revoked: for the caller's own, and for the last admin key; else ""."""
    own = client.access.who_am_i().principal_id == f"key:{key_id}"
    found = "You call with this key. " if own else ""
    now_s, keys = time.time(), client.access.keys()
    if {one.key_id for one in keys if _is_admin(one, now_s)} == {key_id}:
        found += (
            "It is the last admin key that you see: without one, only `fr server key create` on the server's machine "
            "makes keys. "
        )
    return f"{found}Revoke key {key_id} for ever?" if found else ""


def _is_admin(one: access_pb2.ApiKey, now_s: float) -> bool:
    """Return whether a key can make others now, by the clock of this machine."""
    ended = one.HasField("expire_time") and one.expire_time.ToNanoseconds() / 1e9 <= now_s
    return access_pb2.ROLE_ADMIN in one.roles and not one.HasField("revoke_time") and not ended


key = typer.Typer(help="Make, list, rotate and revoke the API keys of a server.", no_args_is_help=True)

Made = access_pb2.CreateKeyResponse | access_pb2.RotateKeyResponse


class RoleWord(StrEnum):
    """The words of `Role`, for an option that may be repeated."""

    TRAINEE = "trainee"
    TRAINER = "trainer"
    OPERATOR = "operator"
    EXAMINER = "examiner"
    AUDITOR = "auditor"
    ADMIN = "admin"


KeyId = Annotated[str, argument("KEY", "Its id, the part of the key before the dot.")]
ConnectionOut = Annotated[
    Path | None,
    typer.Option("--connection-file", metavar="OUT.toml", help="New connection file for the receiver of the key."),
]
KeyOut = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="New file for the key alone.")]


def whoami(context: typer.Context, as_json: AsJson = False) -> None:
    """Show your identity on the server, your rights, their end, and the searches left today."""
    with connected(context, as_json) as client:
        found = client.access.who_am_i()
        rows = [
            ("Principal", found.principal_id),
            *([("Key ID", found.principal_id.removeprefix("key:"))] if found.principal_id.startswith("key:") else []),
            *_rights_rows(found),
        ]
        if found.HasField("searches_left"):
            rows.append(("Left today", show.counted(found.searches_left, "search", "searches")))
        if found.HasField("expire_time"):
            rows.append(("Valid", f"until {show.when(found.expire_time)}"))
        show.print_answer(as_json, found, show.pairs(rows))


@key.command("create")
def create_key(
    context: typer.Context,
    roles: Annotated[
        list[RoleWord], typer.Option("--role", help="What it may do; may be repeated.", show_default=False)
    ],
    galleries: Annotated[
        list[str] | None,
        typer.Option(
            "--gallery",
            metavar="PATTERN",
            help="Galleries that it may use: an id, or a beginning followed by *; may be repeated.",
        ),
    ] = None,
    courses: Annotated[list[str] | None, typer.Option("--course", metavar="PATTERN", help="Courses, likewise.")] = None,
    days: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=1_826,  # fr_trust.access.keys.MAX_LIFETIME_DAYS
            metavar="DAYS",
            help="How long it is valid. Unset: the server's default, or until your own key ends if that is sooner.",
        ),
    ] = None,
    label: Annotated[str, typer.Option(metavar="TEXT", help="What it is for; not the name of a person.")] = "",
    requests_per_s: Annotated[
        float | None,
        typer.Option(
            "--requests-per-s", min=0.001, metavar="N", help="Calls, and items of streams, a second in the long run."
        ),
    ] = None,
    burst: Annotated[int | None, typer.Option(min=1, metavar="N", help="Calls and items at once beyond that.")] = None,
    searches_per_day: Annotated[
        int | None, typer.Option("--searches-per-day", min=0, metavar="N", help="Searches a day (UTC).")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Client certificate, PEM: the key is valid only with it.")
    ] = None,
    connection_file: ConnectionOut = None,
    out: KeyOut = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key. The server says it only this once, and keeps no copy."""
    require_one_of(connection_file is not None, out is not None, "--connection-file", "--out")
    with connected(context, as_json) as client:
        digest = "" if certificate is None else certificate_sha256(certificate)
        made = access_pb2.CreateKeyResponse()
        try:
            with _secret_file(context.obj, connection_file, out) as write:
                with own_end_told(client):
                    made = client.access.create_key(
                        cast("list[Role]", [role.value for role in roles]),
                        label=label,
                        galleries=galleries or (),
                        courses=courses or (),
                        requests_per_s=requests_per_s,
                        burst=burst,
                        searches_per_day=searches_per_day,
                        lifetime=days_long(days),
                        certificate_sha256=digest,
                    )
                write(made.token)
        except BaseException:
            if made.key.key_id:  # nobody has its secret
                client.access.revoke_key(made.key.key_id)
            raise
        for doubt in warnings_of(made.key):
            typer.echo(f"Warning: {doubt}", err=True)
        if days is None and made.key.HasField("expire_time"):
            end = show.when(made.key.expire_time)
            typer.echo(f"Without --days it ends {end}: the server's default, or the end of your own key.", err=True)
        _tell(made, connection_file or out, as_json)


@key.command("list")
def list_keys(context: typer.Context, as_json: AsJson = False) -> None:
    """List the API keys, the newest first; never their secrets."""
    with connected(context, as_json) as client:
        rows = show.table("Key", "Label", "Roles", "Galleries", "Courses", "Made", "Valid", whole=("Key",))

        def row(one: access_pb2.ApiKey) -> tuple[str, ...]:
            scope = (_role_text(one.roles), _patterns(one.galleries), _patterns(one.courses))
            return one.key_id, one.label, *scope, show.when(one.create_time), _validity(one)

        show.print_list(as_json, "keys", show.every(client.access.keys()), rows, row, "There is no key yet.")


@key.command("rotate")
def rotate_key(
    context: typer.Context,
    key_id: KeyId,
    overlap_days: Annotated[
        float | None,
        typer.Option(
            "--overlap-days",
            min=0.0,
            max=30.0,
            metavar="DAYS",
            help="How long the old secret stays valid, too; not at all if unset.",
        ),
    ] = None,
    connection_file: ConnectionOut = None,
    out: KeyOut = None,
    as_json: AsJson = False,
) -> None:
    """Give an API key a new secret. The server says it only this once, and keeps no copy."""
    require_one_of(connection_file is not None, out is not None, "--connection-file", "--out")
    with connected(context, as_json) as client:
        with _secret_file(context.obj, connection_file, out) as write:
            made = client.access.rotate_key(key_id, overlap=days_long(overlap_days))
            write(made.token)
        _tell(made, connection_file or out, as_json)


@key.command("revoke")
def revoke_key(context: typer.Context, key_id: KeyId, yes: Yes = False, as_json: AsJson = False) -> None:
    """Make an API key invalid, at once and for ever; asks before your own key and the last admin key."""
    with connected(context, as_json) as client:
        question = "" if yes else question_before(client, key_id)
        if question:
            confirm(question, yes, kept="Nothing was revoked.")
        revoked = client.access.revoke_key(key_id)
        show.print_answer(
            as_json, revoked, f"Key {revoked.key_id} is invalid from {show.when(revoked.revoke_time)} on."
        )


def certificate_sha256(path: Path) -> str:
    """Return the sha256 of the first certificate (DER) of a file in PEM, in hex; raises `Unusable` if there is none."""
    try:
        der = ssl.PEM_cert_to_DER_cert(certificates_of(read_file(path))[0])
    except ValueError as error:
        raise Unusable("INVALID_FIELD", f"{show.shown(path)} holds no certificate in PEM.") from error
    return hashlib.sha256(der).hexdigest()


@contextmanager
def _secret_file(settings: Settings, connection_file: Path | None, out: Path | None) -> Iterator[Callable[[str], None]]:
    path = connection_file or out
    if path is None:
        yield lambda token: None
        return
    ca = "" if connection_file is None else _authorities(settings)
    with new_file(path) as file:

        def write(token: str) -> None:
            text = f"{token}\n" if connection_file is None else Connection(settings.server, token, ca).text()
            file.write(text.encode())

        yield write


def _authorities(settings: Settings) -> str:
    if settings.ca is None:
        if settings.tls or settings.certificate is not None:
            message = "A connection file names the authority of the server: give its file with `fr --ca FILE`."
            raise Unusable("MISSING_FIELD", message)
        return ""
    return "\n".join(certificates_of(settings.ca if isinstance(settings.ca, bytes) else read_file(settings.ca)))


def _tell(
    made: access_pb2.CreateKeyResponse | access_pb2.RotateKeyResponse, written: Path | None, as_json: bool
) -> None:
    if as_json:
        secret = {"token": made.token} if written is None else {"file": show.shown(written)}
        show.print_json({"key": message_keys(made.key), **secret})
        return
    one = made.key
    rows = [
        ("Key", one.key_id),
        ("Label", one.label),
        *_rights_rows(one),
        ("Certificate", one.certificate_sha256 or "not bound to one"),
        ("Valid", _validity(one)),
    ]
    show.console().print(show.pairs(rows))
    if written is not None:
        show.console().print(show.plain(f"It is in {show.shown(written)}. Anybody with that file can call the server."))
        return
    typer.echo("This is the key. You see it now and never again:", err=True)
    typer.echo(show.plain(made.token).plain)  # in one line, however narrow the terminal is


def _role_text(roles: Iterable[int]) -> str:
    return ", ".join(ROLE_NAMES.get(role, "newer than this command") for role in roles)


def _patterns(patterns: Iterable[str]) -> str:
    return " ".join(patterns) or "none"


def _rights_rows(one: access_pb2.ApiKey | access_pb2.WhoAmIResponse) -> list[tuple[str, str]]:
    budget = one.budget
    a_day = f"{budget.searches_per_day:,} a day" if budget.HasField("searches_per_day") else "no limit"
    calls = f"{budget.requests_per_s:,.10g} a second, {budget.burst:,} at once"
    return [
        ("Roles", _role_text(one.roles)),
        ("Galleries", _patterns(one.galleries)),
        ("Courses", _patterns(one.courses)),
        ("Calls", calls if budget.requests_per_s < _MOST_REQUESTS_PER_S else "no limit"),
        ("Searches", a_day),
    ]


def _validity(one: access_pb2.ApiKey) -> str:
    if one.HasField("revoke_time"):
        return f"revoked {show.when(one.revoke_time)}"
    return f"until {show.when(one.expire_time)}" if one.HasField("expire_time") else "no end"
