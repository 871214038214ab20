"""`fr health`: whether the server answers calls; it needs no key."""

from __future__ import annotations

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_client.channel import channel_options
from fr_client.cli.state import Settings, reporting
from fr_client.identity import Identity, open_channel

_HEALTH_S = 5.0
_MESSAGE_BYTES = 4096


def health(context: typer.Context) -> None:
    """Ask whether the server answers calls: exit status 0 where its health is SERVING, 1 else. It needs no key."""
    settings: Settings = context.obj
    with reporting(False):
        identity = Identity(tls=settings.channel_credentials())
    options = channel_options(settings.server, _MESSAGE_BYTES)
    try:
        with open_channel(settings.server, identity, options) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=min(_HEALTH_S, settings.timeout_s))
    except grpc.RpcError as error:
        typer.echo(f"The server at {settings.server} does not answer: {error.code().name}.{_hint(settings)}", err=True)
        raise typer.Exit(1) from error
    typer.echo(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise typer.Exit(1)


def _hint(settings: Settings) -> str:
    encrypted = settings.tls or settings.ca is not None or settings.certificate is not None
    return "" if encrypted else " One that encrypts answers with --connection or --ca alone."
