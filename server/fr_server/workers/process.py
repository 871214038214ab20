"""One front-end process, seen from the engine's process: started, talked to, and cleared away when it has ended."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fr_server.gateway.address import address_of, addresses_of, unavailable
from fr_server.pools import StorageThreads
from fr_server.storage.calls import GalleryCalls
from fr_server.workers.link_server import Answerer, Batchers
from fr_server.workers.messages import FrontendSays, Welcome, Wire
from fr_server.workers.shared_memory import Arena, new_memory


class HeldPort:
    """A port that is ours: bound, so that nobody else can have it, and not listened on; 0 for any free one.

    The front-ends listen on it with SO_REUSEPORT, and the kernel shares connections out among them. With that option
    alone, a second server of the same user could silently join them; so the port is first bound without it, which fails
    where anybody listens. Raises `AddressUnavailable` if the address cannot be listened on.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = port
        try:
            with ExitStack() as held:
                for family, address in addresses_of(host, port):
                    if self.port:
                        _bound(family, address, self.port, socket.SO_REUSEADDR).close()
                    self.port = held.enter_context(_shared(family, address, self.port)).getsockname()[1]
                self._held = held.pop_all()
        except (OSError, UnicodeError) as error:
            address = address_of(host, port)
            raise unavailable(address) from error

    def close(self) -> None:
        """Let the port go."""
        self._held.close()


def _shared(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    """A socket beside which others may listen.

    Without SO_REUSEADDR where it can be, for with it another server's first bind would succeed until somebody listens.
    Connections of a server that has just ended can make it necessary.
    """
    try:
        return _bound(family, address, port, socket.SO_REUSEPORT)
    except OSError:
        return _bound(family, address, port, socket.SO_REUSEPORT, socket.SO_REUSEADDR)


def _bound(family: socket.AddressFamily, address: str, port: int, *options: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options:
            made.setsockopt(socket.SOL_SOCKET, option, 1)
        made.bind((address, port))
    except BaseException:
        made.close()
        raise
    return made


# Between the end of a process's link and its own.
_LAST_STEPS_S = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Frontend:
    """A front-end process."""

    process: subprocess.Popen[bytes]
    answerer: Answerer
    wire: Wire

    @property
    def processor_s(self) -> float:
        """Seconds of processor time that the process has used so far, until `clear`."""
        # proc(5): utime and stime are fields 14 and 15; the second field is a name in brackets, which may hold spaces.
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def clear(self) -> int:
        """Wait for the end of what served a front-end whose link has ended, and return its exit status."""
        try:
            status = self.process.wait(_LAST_STEPS_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.answerer.join()
        self.wire.close()
        return status


def start_frontend(
    welcome: Welcome,
    batchers: Batchers,
    galleries: GalleryCalls,
    storage: StorageThreads,
    on_said: Callable[[FrontendSays | None], None],
) -> Frontend:
    """Start a front-end; the arguments after `welcome` are those of `Answerer`.

    It is a new Python, not a copy of this process: gRPC and the threads of the models do not survive being copied.
    Raises `OSError`, and leaves nothing open, if the machine has no process, memory or file descriptor left.
    """
    with ExitStack() as given, ExitStack() as kept:
        ours, theirs = multiprocessing.Pipe()
        kept.callback(ours.close)
        given.callback(theirs.close)
        memory = new_memory(welcome.arena)
        given.callback(os.close, memory)
        descriptors = (theirs.fileno(), memory)
        command = [sys.executable, "-P", "-m", "fr_server.workers", *map(str, descriptors)]
        # A signal to the whole group of processes is for this one alone: a front-end obeys it, and nobody else.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=descriptors)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        arena = Arena(memory, welcome.arena)
        kept.pop_all()
    wire = Wire(ours)
    answerer = Answerer(wire, arena, batchers, galleries, storage, on_said)
    answerer.tell(welcome)
    answerer.start()
    return Frontend(process, answerer, wire)
