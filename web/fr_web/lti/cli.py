"""`fr lti`: makes the key of this side, and shows what to enter in a learning platform."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fr_client.cli.state import Unusable, reporting
from fr_web.lti.registrations import read_registrations, tool_key

_BITS = 3072
_EXPONENT = 65537

lti = typer.Typer(help="Open courses from a learning platform (LTI 1.3).", no_args_is_help=True)


@lti.command()
def key(path: Annotated[Path, typer.Argument(metavar="FILE", help="The new file, PEM, for its owner alone.")]) -> None:
    """Make a private key, which signs what this side sends to platforms."""
    made = generate_private_key(_EXPONENT, _BITS)
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with reporting(as_json=False):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise Unusable("INVALID_FIELD", f"{path} cannot be made: {error.strerror}.") from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
    sys.stdout.write(f"{path}: key {tool_key(pem).key_id}\n")


@lti.command()
def show(path: Annotated[Path, typer.Argument(metavar="FILE", help="The file of `web.lti`.")]) -> None:
    """Check the file of registrations, and show the addresses to enter in a platform."""
    with reporting(as_json=False):
        found = read_registrations(path)
    for name, place in (("Tool URL", "launch"), ("Initiate login URL", "login"), ("Public keyset", "keys")):
        sys.stdout.write(f"{name + ':':20}{found.address}/lti/{place}\n")
    sys.stdout.write(f"{'Redirection URI:':20}{found.address}/lti/launch\n")
    for one in found.platforms:
        sys.stdout.write(f"{'Platform:':20}{one.issuer}, client {one.client_id}\n")
