"""`fr lti`: makes the tool's key, and shows the addresses to enter in a learning platform."""

from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fr_client.cli.files import new_file
from fr_client.cli.state import reporting
from fr_web.lti.registrations import read_registrations, tool_key

_BITS = 3072
_EXPONENT = 65537

lti = typer.Typer(help="Open courses from a learning platform (LTI 1.3).", no_args_is_help=True)


@lti.command()
def key(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="New PEM file; only its owner can read it.")],
) -> None:
    """Make the private key with which FR Core signs its messages to platforms."""
    with reporting(as_json=False), new_file(path) as file:
        pem = generate_private_key(_EXPONENT, _BITS).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write(pem)
    typer.echo(f"{path}: key {tool_key(pem).key_id}")


@lti.command()
def show(path: Annotated[Path, typer.Argument(metavar="FILE", help="The file of `web.lti`.")]) -> None:
    """Check the file of learning platforms, and show the addresses to enter in each platform."""
    with reporting(as_json=False):
        found = read_registrations(path)
    for name, place in (("Tool URL", "launch"), ("Initiate login URL", "login"), ("Public keyset", "keys")):
        typer.echo(f"{name + ':':20}{found.address}/lti/{place}")
    typer.echo(f"{'Redirection URI:':20}{found.address}/lti/launch")
    for one in found.platforms:
        typer.echo(f"{'Platform:':20}{one.issuer}, client {one.client_id}")
    if not found.platforms:
        typer.echo(f"{'Platform:':20}none yet; enter these addresses in it, and add what it shows to {path}")
