"""Starts the HTTP interface in front of a server, and speaks HTTP to it, by hand where it matters."""

import asyncio
import base64
import http.client
import itertools
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2

from fr_core.storage.shelf import Shelf
from fr_server.gateway.authority import Issued
from fr_server.web_shelf import ShelfServer
from fr_web.app import web_app
from fr_web.backend import Backend
from fr_web.boundary import Rules
from fr_web.listen import Limits, Listener, quiet
from fr_web.lti.registrations import Registrations
from fr_web.lti.tool import Tool
from fr_web.shelf import SharedShelf
from fr_web.tls import serving_context
from support.callers import METHODS, Caller
from support.commands import BIN, START_S
from support.faults import until
from support.servers import ended

UNARY = [path for path, method in METHODS.items() if not method.client_streaming and not method.server_streaming]
STREAMS = sorted(set(METHODS) - set(UNARY))
TOLD = re.compile(r"HTTP on https?://(\S+):(\d+),")


@dataclass(frozen=True)
class Answered:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def info(self) -> error_details_pb2.ErrorInfo:
        """The ErrorInfo of a refusal; its JSON must say the same."""
        for detail in self.json["details"]:
            if detail["type"] == "google.rpc.ErrorInfo":
                value = detail["value"]
                found = error_details_pb2.ErrorInfo.FromString(base64.b64decode(value + "=" * (-len(value) % 4)))
                assert detail["debug"]["reason"] == found.reason
                return found
        return error_details_pb2.ErrorInfo()

    @property
    def reason(self) -> str:
        return "OK" if self.status == 200 else self.info.reason


@dataclass
class Web:
    host: str
    port: int
    context: ssl.SSLContext | None = None
    key: str = field(default="", repr=False)

    def connect(self) -> http.client.HTTPConnection:
        if self.context is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=START_S)
        return http.client.HTTPSConnection(self.host, self.port, timeout=START_S, context=self.context)

    def raw(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=START_S)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        """Make one request; `Content_Type="..."` is the header Content-Type, and the key is sent if there is one."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key and "Authorization" not in sent:
            sent["Authorization"] = f"Bearer {self.key}"
        connection = self.connect()
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answered(answer.status, told, answer.read())
        finally:
            connection.close()

    def call(self, method: str, request: Any, **headers: str) -> Answered:
        """Make a call of the API, "GalleryService/Search", in JSON; or in protobuf, for bytes."""
        kind = "application/proto" if isinstance(request, bytes) else "application/json"
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        return self.ask("POST", f"/fr_api.v1.{method}", body, **{"Content_Type": kind, **headers})

    def answers(self, path: str = "/livez") -> bool:
        try:
            return self.ask("GET", path).status == 200
        except OSError:
            return False


@dataclass
class Balanced(Web):
    """Sends each request to the next of several sites, under one name."""

    sites: tuple[Web, ...] = ()
    turns: Iterator[int] = field(default_factory=itertools.count)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        site = self.sites[next(self.turns) % len(self.sites)]
        return site.ask(method, path, body, Host=f"{self.host}:{self.port}", **headers)


@contextmanager
def web(
    target: str,
    key: str = "",
    limits: Limits | None = None,
    tls: Issued | None = None,
    port: int = 0,
    lti: Tool | Registrations | None = None,
    shelf: Shelf | None = None,
    **rules: Any,
) -> Iterator[Web]:
    """Run the HTTP interface in front of a server, in a thread; `rules` are those of `Rules`, `shelf` is shared."""
    rules = {"max_message_bytes": 33 * 2**20, "remote": False, **rules}
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(quiet)
    thread = threading.Thread(target=loop.run_forever, name="web")
    thread.start()
    bound = socket.create_server(("127.0.0.1", port), backlog=100)
    made = None if tls is None else serving_context(tls.certificate, tls.key)
    opened: list[Any] = []
    behind: list[ShelfServer] = []

    async def start() -> None:
        backend = Backend(target, lambda: None)
        backend.open()
        shared = None
        if shelf is not None:
            behind.append(ShelfServer(shelf))
            shared = await SharedShelf.open(os.dup(behind[0].other.fileno()))
        tool = Tool(lti, shelf=shared) if isinstance(lti, Registrations) else lti
        app = web_app(backend, Rules(**rules), tool, shared)
        opened[:] = [Listener(app, [bound], made, limits or Limits()), backend, shared]
        opened[0].start()

    async def stop() -> None:
        await opened[0].stop(5.0)
        await opened[1].close()
        for one in behind:
            await opened[2].close()
            await one.close()

    asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        context = None if tls is None else ssl.create_default_context(cafile=str(tls.certificate.with_name("ca.pem")))
        yield Web("127.0.0.1", bound.getsockname()[1], context, key)
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@dataclass
class WebProcess(Web):
    process: subprocess.Popen[bytes] = field(kw_only=True)
    log: Path = field(kw_only=True)

    @property
    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024


@contextmanager
def web_process(folder: Path, target: str, *options: object, ca: Path | None = None) -> Iterator[WebProcess]:
    """Run `fr web` in front of a server; `ca` is the authority of its HTTPS certificate."""
    command: list[str | Path] = [BIN / "fr", "--server", target, "web", "--listen", "127.0.0.1:0", *map(str, options)]
    log = folder / "web.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        until(lambda: TOLD.search(log.read_text()) is not None or process.poll() is not None, START_S)
        told = TOLD.search(log.read_text())
        assert told is not None, log.read_text()
        context = None if ca is None else ssl.create_default_context(cafile=str(ca))
        yield WebProcess(told[1], int(told[2]), context, process=process, log=log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def over_grpc(caller: Caller, path: str) -> tuple[str, str]:
    """The code and the reason with which a call with an empty request ends."""
    call: Any = caller.channel.unary_unary(path)
    try:
        call(b"", metadata=(("authorization", f"Bearer {caller.token}"),), timeout=60)
    except grpc.RpcError as error:
        told = ended(error)
        return told.code.name.lower(), told.info.reason
    return "", "OK"


def whole_answer(one: socket.socket) -> bytes:
    """The next answer on a connection, head and body."""
    told = b""
    while (more := one.recv(65_536)) and b"\r\n\r\n" not in (told := told + more):
        pass
    head, _, body = told.partition(b"\r\n\r\n")
    lengths = re.findall(rb"content-length: (\d+)", head)  # none where the connection was closed
    while lengths and len(body) < int(lengths[0]) and (more := one.recv(65_536)):
        body += more
    return head + body


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def form(files: Sequence[tuple[str, bytes]] = (), /, **parts: str | bytes) -> tuple[bytes, str]:
    """A form of texts and files, and its Content-Type; `__` in a name is a dot; `files` are photos with their names."""
    boundary = "a-boundary"
    lines = []
    named = [(name, value, "photo.png") for name, value in parts.items()]
    for name, value, called in named + [("photo", content, called) for called, content in files]:
        file = f'; filename="{called}"' if isinstance(value, bytes) else ""
        content = value if isinstance(value, bytes) else value.encode()
        head = f'Content-Disposition: form-data; name="{name.replace("__", ".")}"{file}'
        lines.append(b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary.encode(), head.encode(), content))
    return b"".join(lines) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
