"""`fr health`: checks whether the server answers calls; needs no key."""

import json
from typing import Annotated, Any, NoReturn

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_client.channel import channel_options
from fr_client.cli.show import print_json, waiting
from fr_client.cli.state import AsJson, Settings, error_keys, fail, reporting
from fr_client.errors import CONNECTION_LOST, FrApiError, from_rpc_error
from fr_client.handshake import Endpoint
from fr_client.identity import Identity, open_channel

_HEALTH_S = 5.0
_SERVING = health_pb2.HealthCheckResponse.SERVING


def health(
    context: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", help="Print each change until Ctrl-C, or until the server stops answering.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask whether the server answers calls: exit status 0 if its health is SERVING, else 1. It needs no key.

    With --watch the exit status is that of the last health. With --watch and --json each line is a document.
    """
    settings: Settings = context.obj
    with reporting(as_json):
        identity = Identity(tls=settings.channel_credentials())
    options = channel_options(settings.server)
    try:
        with open_channel(settings.server, identity, options) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            with waiting(f"Waiting for {settings.server}"):
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=min(_HEALTH_S, settings.timeout_s))
            if watch:
                _watch(stub, settings, as_json)
    except grpc.RpcError as error:
        found = from_rpc_error(error, Endpoint(settings.server, identity.tls), min(_HEALTH_S, settings.timeout_s))
        _leave(found, watch, as_json)
    _tell({"status": _name(answer.status)}, _name(answer.status), False, as_json)
    if answer.status != _SERVING:
        raise typer.Exit(1)


def _watch(stub: health_pb2_grpc.HealthStub, settings: Settings, as_json: bool) -> NoReturn:
    """Print each health until Ctrl-C or the end of the server; raises `grpc.RpcError` if it does not answer."""
    last = health_pb2.HealthCheckResponse.UNKNOWN
    try:
        for answer in stub.Watch(health_pb2.HealthCheckRequest()):
            last = answer.status
            _tell({"status": _name(last)}, _name(last), True, as_json)
    except KeyboardInterrupt:
        raise typer.Exit(0 if last == _SERVING else 1) from None
    words = f"The server at {settings.server} has ended."
    _leave(FrApiError(grpc.StatusCode.UNAVAILABLE, CONNECTION_LOST, words), True, as_json)


def _tell(document: dict[str, Any], words: str, in_a_line: bool, as_json: bool) -> None:
    if not as_json:
        typer.echo(words)
    elif in_a_line:
        typer.echo(json.dumps(document))
    else:
        print_json(document)


def _leave(error: FrApiError, in_a_line: bool, as_json: bool) -> NoReturn:
    if as_json:
        _tell({"error": error_keys(error)}, "", in_a_line, as_json)
    fail(error)


def _name(status: health_pb2.HealthCheckResponse.ServingStatus.ValueType) -> str:
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))
