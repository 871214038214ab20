"""`fr server`: sets up a server, checks and seals its configuration, and manages its certificates and keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fr_locales.messages import message
from fr_server.commands.gallery import ConfigFile
from fr_server.commands.init import HERE, connection_text, init, new_admin, normal, opened_access, split, target_of
from fr_server.commands.reporting import CommandFailed, reporting
from fr_server.commands.status import status
from fr_server.commands.verify import audit_export, verify

if TYPE_CHECKING:
    from fr_server.config import Config
    from fr_server.gateway.authority import Issued

server = typer.Typer(name="server", help="Set up and maintain a server.")
server.command("status")(status)
server.command("verify")(verify)
server.command("init")(init)
audit = typer.Typer(help="Export the audit of a server that is stopped.", no_args_is_help=True)
certificate = typer.Typer(help="Make and revoke client certificates.", no_args_is_help=True)
clock = typer.Typer(help="Correct the clock by which keys expire.", no_args_is_help=True)
configuration = typer.Typer(help="Check a configuration.", no_args_is_help=True)
key = typer.Typer(help="Make an admin key on the server's own machine.", no_args_is_help=True)
audit.command("export")(audit_export)
server.add_typer(audit, name="audit")
server.add_typer(certificate, name="certificate")
server.add_typer(clock, name="clock")
server.add_typer(configuration, name="config")
server.add_typer(key, name="key")


@configuration.command("check")
def check_config(config: ConfigFile = None) -> None:
    """Check a configuration and all files that it names, like `fr serve`, but start and create nothing.

    The command runs a `command:` for the gallery key only if the configuration is sealed. It does not check the device
    with its precision and batch sizes, the addresses, the contents of the stores, or an issuer's keys at an https
    address. It warns about settings that work but are probably mistakes, such as a configuration without a seal, or a
    list of revoked certificates that expires within 7 days.
    """
    from fr_core.packs.cache import ModelCache, cache_folder
    from fr_core.packs.manifest import load_pack
    from fr_server.checks import doubts_of, require_usable
    from fr_server.clock import wall_ms
    from fr_server.config import load_config
    from fr_server.config.loading import require_safe
    from fr_server.storage.seal import require_sealed

    with reporting():
        tree = load_config(config, environ=os.environ)
        require_safe(tree)
        sealed = require_sealed(config, tree)
        require_usable(tree)
        pack, cache = load_pack(tree.model.pack), ModelCache(cache_folder())
        for file in pack.files:
            cache.read_verified(file, pack.name)
        doubts = doubts_of(tree, config, sealed, wall_ms())
    for doubt in doubts:
        typer.echo(f"Warning: {doubt}", err=True)
    typer.echo(f"The configuration is usable{' and its seal is intact' if sealed else ''}.")


@server.command("seal")
def seal_command(
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="Configuration in TOML.")],
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove the seal. The stores then open without one.")
    ] = False,
) -> None:
    """Seal a configuration after an intended change, together with the certificates that it names.

    The command marks each store as sealed. The server then refuses an unsealed configuration that names such a store.
    """
    from fr_server.config import load_config
    from fr_server.config.folders import key_of
    from fr_server.config.loading import require_safe
    from fr_server.storage.seal import seal, unseal

    with reporting(writes=True):
        tree = load_config(config, environ=os.environ)
        key = key_of(tree, new=False)
        if remove:
            unseal(tree, key)
            typer.echo(f"{config} no longer has a seal.")
            return
        require_safe(tree)
        written = seal(config, tree, key)
    typer.echo(f"Sealed {config} in {written}.")


@server.command("renew")
def renew(
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="Configuration in TOML.")],
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Name or IP address for clients. Can be repeated. `fr server key create` writes the first one into "
            "connection files. Default: the names in the old certificate.",
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Certificate of the authority. Default: ca.pem beside the server's certificate."
        ),
    ] = None,
    ca_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Key of the authority. Default: ca.key beside the server's certificate."),
    ] = None,
) -> None:
    """Make a new certificate and key for the server, signed by the authority from `init`, and seal the configuration.

    The old files stay beside the new ones, as *.before. A running server loads the new files at SIGHUP. If the command
    is interrupted, run it again; until then, the seal is valid for both the old and the new files.
    """
    from fr_core.errors import ConfigInvalid
    from fr_core.storage.durable import name_whole
    from fr_server.clock import wall_ms
    from fr_server.config import load_config
    from fr_server.gateway.authority import Issued, make_server_certificate
    from fr_server.gateway.pem import names_of
    from fr_server.storage.seal import exchanging, require_sealed

    with reporting(writes=True):
        tree = load_config(config, environ=os.environ)
        if not tree.tls.certificate:
            raise ConfigInvalid(message("error.server.configuration_no_tls_certificate"), key="tls.certificate")
        require_sealed(config, tree)
        certificate = Path(tree.tls.certificate).expanduser()
        into = Issued(certificate, Path(tree.tls.key).expanduser())
        authority = Issued(ca or certificate.with_name("ca.pem"), ca_key or certificate.with_name("ca.key"))
        called = normal([*(names or names_of(certificate)), *HERE])
        dns, addresses = split(called)
        made = Issued(*(path.with_name(f"{path.name}.new") for path in (into.certificate, into.key)))
        for path in (made.certificate, made.key):
            path.unlink(missing_ok=True)  # left by an interrupted run
        make_server_certificate(authority, made, dns, addresses, wall_ms(), called[0])
        kept = _keep(into)
        with exchanging(config, tree, {into.key: made.key, into.certificate: made.certificate}):
            name_whole(made.key, into.key)
            name_whole(
                made.certificate, into.certificate
            )  # if interrupted before this, the pair does not match: run it again
    typer.echo(f"Made {into.certificate} and {into.key}. `kill -HUP` makes a running server load them.")
    typer.echo(f"The old key is in {kept.key}: delete it once clients connect with the new certificate.")


@certificate.command("create")
def create_certificate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the client, such as the name of its machine.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for NAME.pem and NAME.key.")],
    ca: Annotated[Path, typer.Option(metavar="FILE", help="Certificate of the authority, PEM.")],
    ca_key: Annotated[Path, typer.Option(metavar="FILE", help="Its key, PEM.")],
) -> None:
    """Make a client certificate, for servers that use `tls.client_certificates`."""
    from fr_server.clock import wall_ms
    from fr_server.gateway.authority import Issued, make_client_certificate

    with reporting(writes=True):
        _require_there(out)
        made = Issued(out / f"{name}.pem", out / f"{name}.key")
        make_client_certificate(Issued(ca, ca_key), made, name, wall_ms())
    typer.echo(f"Made {made.certificate} and {made.key}, valid for 397 days.")


@certificate.command("revoke")
def revoke_certificate(
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="File for the list (`tls.revoked`). The list is valid for 30 days."),
    ],
    ca: Annotated[Path, typer.Option(metavar="FILE", help="Certificate of the authority, PEM.")],
    ca_key: Annotated[Path, typer.Option(metavar="FILE", help="Its key, PEM.")],
    certificates: Annotated[
        list[Path] | None, typer.Argument(metavar="CERTIFICATE...", help="All client certificates to revoke.")
    ] = None,
    renew: Annotated[
        bool,
        typer.Option("--renew", help="Keep the certificates in the existing list at --out, and add CERTIFICATE to it."),
    ] = False,
) -> None:
    """Write the list of revoked client certificates. Write it again within 30 days, or it expires.

    The new list replaces the old one, so name every revoked certificate. With --renew, the command keeps the entries of
    the old list, and you need not name any.
    """
    from fr_server.clock import wall_ms
    from fr_server.gateway.authority import Issued, write_revocations

    if not certificates and not renew:
        raise typer.BadParameter("Name the certificates to revoke, or use --renew to renew the existing list.")
    with reporting(writes=True):
        _require_there(out.absolute().parent)
        write_revocations(Issued(ca, ca_key), out, certificates or [], wall_ms(), renew=renew)
    typer.echo(f"Wrote {out}, valid for 30 days. `kill -HUP` makes a running server load it.")


@key.command("create")
def create_key(
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="New file for the key, mode 0600. If it ends in .toml, a connection file."),
    ],
    config: ConfigFile = None,
) -> None:
    """Make an admin key on the server's own machine, for example after the loss of a key. The server may be running."""
    from fr_core.errors import TargetTaken
    from fr_server.config import load_config

    with reporting(writes=True):
        tree = load_config(config, environ=os.environ)
        if out.exists():
            raise TargetTaken(message("error.server.already_exists", out=out))
        place = _place(tree) if out.suffix == ".toml" else None
        # Create the file first; otherwise a failure to write it would leave a valid key that nobody has.
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                with opened_access(tree) as store:
                    token = new_admin(store, "admin, made on the server's machine", tree.access.key_days)
                file.write(f"{token}\n" if place is None else connection_text(place[0], token, place[1]))
        except BaseException:
            out.unlink()
            raise
    typer.echo(f"Made an admin key in {out}.")


@clock.command("reset")
def reset_clock(config: ConfigFile = None) -> None:
    """Let keys expire by the system clock again, after it was set to the future by mistake. Stop the server first.

    Keys expire by the latest time that the server has seen, so that setting the clock back does not revive any.
    """
    from fr_server.config import load_config

    with reporting(writes=True), opened_access(load_config(config, environ=os.environ)) as store:
        store.forget_time_seen()
    typer.echo("Keys now expire by the system clock again.")


def _keep(pair: Issued) -> Issued:
    """Copy a certificate and its key to *.before, and return the copies.

    If the pair does not match, an earlier run was interrupted between the two; its copies stay.
    """
    from fr_core.errors import TlsUnusable
    from fr_core.storage.durable import write_private
    from fr_server.gateway.authority import Issued
    from fr_server.gateway.pem import read_certificates, require_fits

    kept = Issued(*(path.with_name(f"{path.name}.before") for path in (pair.certificate, pair.key)))
    try:
        require_fits(pair.key, read_certificates(pair.certificate)[0])
    except TlsUnusable:
        if kept.certificate.exists() and kept.key.exists():
            return kept
    write_private(kept.certificate, pair.certificate.read_bytes())
    write_private(kept.key, pair.key.read_bytes())
    return kept


def _place(config: Config) -> tuple[str, str]:
    """Return the address of a server for clients, and the certificate of the authority from `init`.

    Raises `ConfigInvalid` if the authority is not beside the certificate, and `TlsUnusable` if that is unreadable.
    """
    from fr_core.errors import ConfigInvalid
    from fr_server.gateway.pem import names_of

    certificate = Path(config.tls.certificate).expanduser()
    authority = certificate.with_name("ca.pem")
    if not config.tls.certificate or not authority.exists():
        raise ConfigInvalid(message("error.server.no_authority", authority=authority), key="tls.certificate")
    return target_of(names_of(certificate), config.server.port), authority.read_text(encoding="ascii")


def _require_there(folder: Path) -> None:
    if not folder.is_dir():
        raise CommandFailed(
            "FILE_UNWRITABLE", f"The folder {folder} does not exist: make it first, or name another one."
        )
