"""Runs what pages and users run: the examples of a page, scripts in a shell, and `fr serve` until it answers."""

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from support.nursery import born

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
START_S = 240.0  # more than a start with models takes on a busy machine


def page(name: str) -> str:
    return (REPOSITORY / name).read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[str]:
    return [line for block in blocks(text, "sh") for line in block.splitlines() if line]


def rows(text: str, header: str) -> list[list[str]]:
    table = text[text.index(f"\n| {header}") + 1 :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[2:]]


def require_understood(line: str) -> None:
    """Fail unless the words of a line are a command of `fr` with options that it has."""
    import typer

    from fr_client.cli.main import build

    command: Any = typer.main.get_command(build())
    words = shlex.split(re.sub(r"^fr --connection \S+", "fr", line))[1:]
    while words and not words[0].startswith("-") and hasattr(command, "get_command"):
        found = command.get_command(typer.Context(command), words[0])
        assert found is not None, line
        command, words = found, words[1:]
    options = {name for parameter in command.params for name in parameter.opts}
    assert [word for word in words if word.startswith("--") and word not in options] == [], line


def shell(script: str, folder: Path, **environment: str) -> str:
    known = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment}
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=known, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, script + done.stdout + done.stderr
    return done.stdout


def fr_ends(*words: object, folder: Path | None = None, **environment: str) -> str:
    """Run the command `fr`, which must end with status 1; return what it says on standard error."""
    command = [str(BIN / "fr"), *map(str, words)]
    known = {**os.environ, **environment}
    done = subprocess.run(command, cwd=folder, env=known, capture_output=True, text=True, timeout=START_S, check=False)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    return done.stderr


class Script:
    """A file of the tests that runs as a script, with pipes, spoken to line by line.

    `errors` is the descriptor of its standard error; with `group` it has a group of processes of its own. gRPC is as
    silent in it as in `fr serve`.
    """

    def __init__(
        self,
        file: str,
        *words: object,
        errors: int = 2,
        group: bool = False,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        known = {"GRPC_VERBOSITY": "NONE", **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        (stdin, write), (read, stdout) = os.pipe(), os.pipe()
        self.stdin, self.stdout = os.fdopen(write, "w"), os.fdopen(read)
        streams = (stdin, stdout, errors)
        self.pid, self._ending = born([file, *map(str, words)], {**known, **environment}, streams, group)
        for one in (stdin, stdout):
            os.close(one)
        self.returncode: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the pipes, then wait."""
        self.stdout.close()
        with suppress(BrokenPipeError):
            self.stdin.close()
        self.wait()

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout_s: float | None = None) -> int:
        """Return the exit status, negative where a signal ended the process."""
        if self.returncode is None:
            ended = select.poll()
            ended.register(self._ending, select.POLLIN)
            if not ended.poll(None if timeout_s is None else 1000 * timeout_s):
                raise subprocess.TimeoutExpired("a script", timeout_s or 0)
            self.returncode = int(self._ending.recv(100))
            self._ending.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def tell(self, line: str = "") -> None:
        self.stdin.write(f"{line}\n")
        self.stdin.flush()

    def line(self) -> str:
        return self.stdout.readline().strip()

    def lines(self) -> Iterator[str]:
        """Everything it prints from now to its end, in whole lines."""
        return (line.strip() for line in self.stdout if line.endswith("\n"))


@contextmanager
def script(file: str, *words: object, **environment: str) -> Iterator[Script]:
    """Run a file of the tests as a script, with pipes to it and from it; it is killed at the end."""
    with Script(file, *words, environment=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def say(*words: object) -> None:
    """Write a line of JSON for the process that started this script; a pipe takes it whole."""
    os.write(1, (json.dumps(words) + "\n").encode())


def have_children(live: Callable[[str, int], None], at_once: int = 1) -> None:
    """For each line of standard input have children live, and say "dead" and their statuses once they are."""
    while line := sys.stdin.readline():
        children = []
        for number in range(at_once):
            child = os.fork()
            if not child:
                try:
                    live(line.strip(), number)
                finally:
                    os._exit(0 if sys.exc_info()[0] is None else 1)
            children.append(child)
        say("dead", *(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


class Serving:
    """A running `fr serve`, in a group of processes of its own."""

    def __init__(self, folder: Path, options: Sequence[str | Path], environment: dict[str, str] | None = None) -> None:
        from support.counts import NIGHTLY  # which scripts do without, as without the next
        from support.faults import until

        # A start runs the models with each of the sizes of batches, and by day there is one.
        one_size = {} if NIGHTLY else {"FR__BATCHING__EMBEDDER_SIZES": "1"}
        self.ready, self.log = folder / "ready", folder / "server.log"
        command: list[str | Path] = [BIN / "fr", "serve", *options, "--ready-file", self.ready]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdout=log,
                stderr=log,
                env={**os.environ, **one_size, **(environment or {})},
                process_group=0,
            )
        try:
            until(lambda: self.ready.exists() or self.process.poll() is not None, START_S)
            assert self.process.poll() is None, self.log.read_text()
        except BaseException:
            self.kill()
            raise
        self.address = self.ready.read_text().strip()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(START_S) == 0, self.log.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(folder: Path, *options: str | Path, environment: dict[str, str] | None = None) -> Iterator[Serving]:
    server = Serving(folder, options, environment)
    try:
        yield server
        server.stop()
    finally:
        server.kill()
