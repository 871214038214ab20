"""`fr health` and `fr status`: whether the server answers calls, which needs no key, and how it does."""

import json
from collections import Counter
from typing import Annotated, Any, NoReturn

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_api.v1 import server_pb2
from fr_client.channel import channel_options
from fr_client.cli.show import counted, pairs, plain, print_answer, print_json, table, waiting, when
from fr_client.cli.state import AsJson, Settings, connected, error_keys, fail, reporting
from fr_client.errors import CONNECTION_LOST, FrApiError, from_rpc_error
from fr_client.handshake import Endpoint
from fr_client.identity import Identity, open_channel

_HEALTH_S = 5.0
_NEWEST = 10  # of the calls that failed
_SERVING = health_pb2.HealthCheckResponse.SERVING


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show how the server is doing: its calls, photos, stores and packs. For admins and auditors."""
    with connected(context, as_json) as client:
        found = client.server_status()
    calls = table("Call", "Ended", "Reason", "Request")
    for one in found.failed[:_NEWEST]:
        calls.add_row(one.method.removeprefix("fr_api.v1."), when(one.end_time), one.reason, one.request_id)
    stores = table("Store", "MiB", "Free GiB", "In backups", right=("MiB", "Free GiB"))
    for store in found.stores:
        free = f"{store.disk_free_bytes / 2**30:,.1f}"
        stores.add_row(plain(store.name), f"{store.size_bytes / 2**20:,.1f}", free, _yes(store.in_backups))
    packs = table("Pack", "Values", "Installed", "In use", "Licences", right=("Values",))
    for pack in found.packs:
        licences = plain("; ".join(dict.fromkeys((pack.detector_licence, pack.embedder_licence))))
        flags = map(_yes, (pack.installed, pack.active))
        packs.add_row(plain(f"{pack.pack} {pack.version}"), str(pack.embedding_size), *flags, licences)
    failed = (calls,) if found.failed else ()
    print_answer(as_json, found, pairs(_status_rows(found)), *failed, stores, packs)


def _status_rows(found: server_pb2.GetServerStatusResponse) -> list[tuple[str, str]]:
    outcomes = Counter[str]()
    for one in found.ended:
        kind = one.outcome if one.outcome in ("OK", "CANCELLED") else "failed" if one.server_fault else "refused"
        outcomes[kind] += one.count
    rows = [
        ("Since", when(found.start_time)),
        ("Calls in progress", str(found.calls_in_progress)),
        ("Calls answered", f"{outcomes['OK']:,}"),
        ("Calls refused", f"{outcomes['refused']:,}"),
        ("Calls failed by the server's fault", f"{outcomes['failed']:,}"),
        ("Calls cancelled", f"{outcomes['CANCELLED']:,}"),
        ("Photos", f"{found.photos.done:,} analysed, {found.photos.waiting:,} waiting"),
    ]
    if found.photos.HasField("p95_s"):
        median, p95 = found.photos.median_s, found.photos.p95_s
        rows.append(("Time of a photo", f"median {median:.3f} s, 95 of 100 within {p95:.3f} s"))
    if found.frontends:
        rows.append(("Process", f"one of {counted(found.frontends, 'front-end')}: calls and photos are its own"))
    return rows


def _yes(one: bool) -> str:
    return "yes" if one else "no"


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
