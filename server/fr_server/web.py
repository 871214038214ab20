"""Keeps the HTTP interface (`fr web`) of this machine running: a process of its own, started anew when it ends."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec

from fr_core.errors import ConfigInvalid, message
from fr_core.storage.opening import open_shelf
from fr_core.storage.shelf import Shelf
from fr_server.config import Config
from fr_server.config.folders import key_of, postgres_of
from fr_server.gateway.address import address_of, addresses_of, unavailable
from fr_server.gateway.pem import names_of
from fr_server.gateway.tls import ClientCertificates, tls_files
from fr_server.web_shelf import ShelfServer

log = logging.getLogger("fr_server.web")

_BACKLOG = 1024
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
# A process that lived so long has not failed at its start.
_WELL_S = 60.0
_STOP_S = 25.0  # a little more than the process gives its last requests
_START = "from fr_command import main; main()"


def require_web(config: Config) -> None:
    """Raise `ConfigInvalid` if the HTTP interface of a configuration cannot start."""
    if not config.web.port:
        return
    if any(find_spec(name) is None for name in ("fr_web", "jinja2", "segno", "starlette", "uvicorn")):
        raise ConfigInvalid(message("error.config.web_needs_extra"), key="web.port")
    files = tls_files(config.tls)
    if files is not None and files.client_certificates is ClientCertificates.REQUIRED:
        raise ConfigInvalid(message("error.config.web_has_no_certificate"), key="web.port")
    if config.web.lti:
        command = [sys.executable, "-P", "-c", _START, "lti", "show", config.web.lti]
        shown = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        if shown.returncode:
            why = shown.stderr.strip().partition(": ")[2]
            raise ConfigInvalid(message("error.config.web_lti", why=why), key="web.lti")


class WebInterface:
    """The process, its sockets and its restarts; `open` first. Use it within one event loop.

    The sockets belong to this process, so that callers wait, and are not refused, while it starts anew. It ends when
    this one does, however that ends, since it reads the end of its standard input then.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._shelf: Shelf | None = None
        self._held = ExitStack()
        self._sockets: list[socket.socket] = []
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Bind the sockets; raises `AddressUnavailable`."""
        web = self._config.web
        address = address_of(web.host, web.port)
        try:
            with ExitStack() as held:
                for family, host in addresses_of(web.host, web.port):
                    made = socket.create_server((host, web.port), family=family, backlog=_BACKLOG)
                    self._sockets.append(held.enter_context(made))
                self._held = held.pop_all()
        except (OSError, UnicodeError) as error:
            raise unavailable(address, "web") from error

    def open_shelf(self) -> None:
        """Open what servers of one database share; raises `StoreFailed`, and the errors of the key."""
        if (server := postgres_of(self._config)) is not None:
            self._shelf = open_shelf(server, key_of(self._config, new=False))
            self._held.callback(self._shelf.close)

    def start(self, target: str) -> None:
        """Keep the process running from now on, in front of the server at an address of this machine, for gRPC."""
        self._keeping = asyncio.create_task(self._keep(self._command(target)))

    def reload(self) -> None:
        """Let the process read the certificates again."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        """Let the last requests end, and the process with them; it is killed if it takes too long."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), _STOP_S)
                if self._process.returncode is None:
                    self._process.kill()
                    await self._process.wait()
        self._held.close()

    async def _keep(self, command: Sequence[str]) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            begun = time.monotonic()
            end = await self._run(command)
            pause_s = _FIRST_PAUSE_S if time.monotonic() - begun >= _WELL_S else pause_s
            log.error("The HTTP interface %s; it is started anew", end)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _run(self, command: Sequence[str]) -> str:
        """Start the process, wait for its end, and return in words how it ended, or why it did not begin."""
        shelf = None if self._shelf is None else ShelfServer(self._shelf)
        try:
            return await self._lived(command, shelf)
        finally:
            if shelf is not None:
                await shelf.close()

    async def _lived(self, command: Sequence[str], shelf: ShelfServer | None) -> str:
        passed = self._sockets if shelf is None else [*self._sockets, shelf.other]
        if shelf is not None:
            command = [*command, "--shelf", str(shelf.other.fileno())]
        # Its keys are those of its callers, and the server is named below.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FR_")}
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                pass_fds=tuple(one.fileno() for one in passed),
                env=environment,
                process_group=0,  # a signal to the whole group is for this process alone
            )
        except OSError as error:
            return f"could not start ({error.strerror})"
        if shelf is not None:
            shelf.passed_on()
        return f"ended with status {await self._process.wait()}"

    def _command(self, target: str) -> list[str]:
        config, files = self._config, tls_files(self._config.tls)
        command = [sys.executable, "-P", "-c", _START, "--server", target]
        if files is None or target.startswith("unix:"):
            command += ["web"]
        else:  # it trusts the server's own certificate, whose name is not that of the address
            name = next(iter(names_of(files.certificate)), "")
            command += ["--ca", str(files.certificate), "web", "--server-name", name.replace("*", "any", 1)]
        command += ["--log-format", config.telemetry.log_format]
        command += ["--connections", str(config.limits.connections)]
        command += ["--connections-per-address", str(config.limits.connections_per_address)]
        command += ["--max-message-bytes", str(config.max_message_bytes)]
        if files is not None:
            command += ["--tls-certificate", str(files.certificate), "--tls-key", str(files.key)]
        for option, words in (("--host", config.web.names), ("--origin", config.web.origins)):
            for word in words.replace(",", " ").split():
                command += [option, word]
        if config.web.lti:
            command += ["--lti", config.web.lti]
        for one in self._sockets:
            command += ["--descriptor", str(one.fileno())]
        return command
