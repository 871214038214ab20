"""`fr web`: serves the API over HTTP, in front of a gRPC server."""

import asyncio
import io
import json
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import segno
import typer

from fr_client.cli.state import Settings, Unusable, reporting
from fr_client.identity import host_and_port, is_loopback
from fr_web.app import web_app
from fr_web.backend import Backend
from fr_web.boundary import Rules
from fr_web.listen import Limits, Listener, quiet
from fr_web.lti.registrations import read_registrations
from fr_web.lti.tool import Tool
from fr_web.shelf import SharedShelf
from fr_web.tls import names_in, serving_context

log = logging.getLogger("fr_web")

DEFAULT_ADDRESS = "127.0.0.1:8080"
# What a server takes by default: four photos of 8 MiB, and a MiB.
_MESSAGE_BYTES = 4 * 8 * 2**20 + 2**20
_BACKLOG = 1024
_STOP_S = 20.0  # as `server.drain_s`


@dataclass(frozen=True, slots=True)
class _Order:
    """The server, the address and the limits to serve with; see the options of `fr web`."""

    settings: Settings
    listen: str
    certificate: Path | None
    key: Path | None
    hosts: tuple[str, ...]
    origins: tuple[str, ...]
    limits: Limits
    max_message_bytes: int
    name: str
    lti: Path | None
    descriptors: tuple[int, ...]
    shelf: int | None = None

    def context(self) -> ssl.SSLContext | None:
        return None if self.certificate is None or self.key is None else serving_context(self.certificate, self.key)


def web(
    context: typer.Context,
    server: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The gRPC server; other options of `fr` go before `web`.")
    ] = None,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Address to listen on.")] = DEFAULT_ADDRESS,
    certificate: Annotated[
        Path | None,
        typer.Option("--tls-certificate", metavar="FILE", help="Certificate for HTTPS with its chain, PEM."),
    ] = None,
    key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key, PEM.")] = None,
    hosts: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="NAME", help="A name that a proxy calls this address by. Can be repeated."),
    ] = None,
    origins: Annotated[
        list[str] | None,
        typer.Option(
            "--origin",
            metavar="ORIGIN",
            help="A site whose pages may call, such as https://a.example. Can be repeated.",
        ),
    ] = None,
    connections: Annotated[int, typer.Option(min=1, help="Maximum number of connections.")] = 1024,
    of_address: Annotated[
        int, typer.Option("--connections-per-address", min=1, help="The same from one address.")
    ] = 256,
    max_message_bytes: Annotated[
        int, typer.Option(min=1024, help="Maximum size of a request in protobuf, in bytes.")
    ] = _MESSAGE_BYTES,
    name: Annotated[str, typer.Option("--server-name", help="Name in the gRPC server's certificate.")] = "",
    lti: Annotated[
        Path | None,
        typer.Option("--lti", metavar="FILE", help="TOML file of the learning platforms that may open courses."),
    ] = None,
    log_format: Annotated[str, typer.Option(help="Format of log lines: text, or one JSON object per line.")] = "text",
    descriptors: Annotated[list[int] | None, typer.Option("--descriptor", hidden=True)] = None,
    shelf: Annotated[int | None, typer.Option("--shelf", hidden=True)] = None,
) -> None:
    """Serve the console and the API over HTTP until SIGTERM or Ctrl-C: pages for people, JSON for programs.

    It passes on the key of each caller, and uses none of its own. On a terminal it prints the address for browsers,
    with a QR code if other machines can reach it.
    """
    settings: Settings = context.obj
    settings = settings if server is None else replace(settings, server=server)
    order = _Order(
        settings,
        listen,
        certificate,
        key,
        tuple(hosts or ()),
        tuple(origins or ()),
        Limits(connections, of_address),
        max_message_bytes,
        name,
        lti,
        tuple(descriptors or ()),
        shelf,
    )
    if log_format not in ("text", "json"):
        raise typer.BadParameter("It is text or json.", param_hint="--log-format")
    with reporting(as_json=False):
        if (certificate is None) != (key is None):
            raise Unusable("INVALID_FIELD", "--tls-certificate goes with --tls-key; give both or neither.")
        if settings.channel_credentials() is None and not is_loopback(settings.server):
            words = (
                "Keys travel beyond this machine only over TLS: give the authority of the server, `fr --ca FILE web`."
            )
            raise Unusable("PLAINTEXT_REFUSED", words)
        with ExitStack() as opened:
            sockets = [opened.enter_context(one) for one in _sockets(order)]
            remote = bool(order.hosts) or any(not _is_loopback(one) for one in sockets)
            made = order.context()
            if made is None and any(not _is_loopback(one) for one in sockets):
                words = f"{listen} is beyond this machine: it needs --tls-certificate and --tls-key."
                raise Unusable("PLAINTEXT_REFUSED", words)
            _log(as_json=log_format == "json")
            asyncio.run(_serve(order, sockets, made, remote))


class _JsonLines(logging.Formatter):
    """Writes one JSON object per line, with the keys of the server's log."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {"time": time, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        return json.dumps(told, ensure_ascii=False)


def _log(*, as_json: bool) -> None:
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_JsonLines() if as_json else text)
    log.addHandler(handler)
    log.setLevel(logging.INFO)


def _sockets(order: _Order) -> Sequence[socket.socket]:
    """Return the sockets to listen on: those that the process got, or new ones; raises `Unusable`."""
    if order.descriptors:
        return [socket.socket(fileno=one) for one in order.descriptors]
    place = host_and_port(order.listen)
    try:
        if place is None:
            raise OSError
        host, port = place
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        made: list[socket.socket] = []
        for family, address in dict.fromkeys((family, address[0]) for family, _, _, _, address in found):
            bound = made[0].getsockname()[1] if made else port
            made.append(socket.create_server((str(address), bound), family=family, backlog=_BACKLOG))
    except (OSError, UnicodeError) as error:
        words = f"{order.listen} cannot be listened on. Is another program there? The form is HOST:PORT."
        raise Unusable("ADDRESS_UNAVAILABLE", words) from error
    return made


def _is_loopback(one: socket.socket) -> bool:
    return ip_address(one.getsockname()[0].partition("%")[0]).is_loopback


def _name_for_browsers(order: _Order, host: str) -> str:
    """Return the name by which browsers find this address: that of the certificate, else the address itself."""
    if ip_address(host.partition("%")[0]).is_loopback:
        return "localhost"
    named = [] if order.certificate is None else names_in(order.certificate)
    return next(iter(named), host)


def invitation(address: str, *, is_for_others: bool) -> str:
    """Return what a terminal shows of an address: the address itself and, for other machines, a QR code."""
    if not is_for_others:
        return f"Open {address} in a browser on this machine.\n"
    picture = io.StringIO()
    segno.make(address, micro=False).terminal(picture, compact=True)
    return f"{picture.getvalue()}Open {address} in a browser.\n"


async def _serve(order: _Order, sockets: Sequence[socket.socket], made: ssl.SSLContext | None, remote: bool) -> None:
    shelf = None if order.shelf is None else await SharedShelf.open(order.shelf)
    lti = None if order.lti is None else Tool(read_registrations(order.lti), shelf=shelf)
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    loop.set_exception_handler(quiet)
    backend = Backend(order.settings.server, order.settings.channel_credentials, order.name)
    backend.open()
    rules = Rules(order.max_message_bytes, remote, order.hosts, order.origins)
    listener = Listener(web_app(backend, rules, lti, shelf), sockets, made, order.limits)

    def reload() -> None:
        try:
            listener.context = order.context()
            backend.open()
        except Unusable as error:
            log.error("The certificates were not reloaded: %s: %s", error.reason, error.message)
        else:
            log.info("The certificates were read again")

    def end() -> None:
        loop.remove_reader(sys.stdin.fileno())
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))  # `fr serve` blocks it while it starts
    if order.descriptors:  # the process that made the sockets keeps the other end of standard input open
        loop.add_reader(sys.stdin.fileno(), end)
    listener.start()
    place = sockets[0].getsockname()
    host = f"[{place[0]}]" if ":" in place[0] else place[0]
    scheme = "http" if made is None else "https"
    log.info("HTTP on %s://%s:%d, in front of %s", scheme, host, place[1], order.settings.server)
    if sys.stdout.isatty():
        name = _name_for_browsers(order, place[0])
        sys.stdout.write(invitation(f"{scheme}://{name}:{place[1]}/", is_for_others=name != "localhost"))
        sys.stdout.flush()
    await told.wait()
    with suppress(asyncio.CancelledError):
        await listener.stop(_STOP_S)
    await backend.close()
    if shelf is not None:
        await shelf.close()
