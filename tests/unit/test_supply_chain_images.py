"""The images: every room of the distribution, every hash checked, an ordinary user, and TLS."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path, PurePosixPath

import pytest
from lock_file import ROOT
from typer.testing import CliRunner

from fr_client.cli.main import build
from fr_server.commands.server import server
from fr_server.config import load_config
from fr_server.config.loading import require_safe

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMAGES = {"Dockerfile": "requirements-cpu.lock", "Dockerfile.gpu": "requirements-gpu.lock"}


def instructions(image: str) -> list[tuple[str, str]]:
    """(instruction, rest) of each, with continued lines joined and comments gone."""
    lines = [line for line in (ROOT / image).read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line.strip()]


def copied(image: str) -> list[str]:
    """What comes from the folder of the build."""
    found = [shlex.split(rest) for name, rest in instructions(image) if name == "COPY" and "--from" not in rest]
    return [source for words in found for source in words[:-1]]


def let_in(path: str) -> bool:
    """Whether .dockerignore, which refuses everything first, lets a path in."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    allowed = {PurePosixPath(line[1:]) for line in lines if line.startswith("!")}
    return bool({PurePosixPath(path), *PurePosixPath(path).parents} & allowed)


@pytest.mark.parametrize("image", IMAGES)
def test_image_has_every_room_of_the_distribution(image: str) -> None:
    roots = {package.split("/")[0] for package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    needed = roots | {"pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
    assert "training" in needed
    assert needed <= set(copied(image))

    for path in copied(image):
        assert (ROOT / path).exists(), path
        assert let_in(path), f".dockerignore hides {path}"


@pytest.mark.parametrize(("image", "lock"), IMAGES.items())
def test_every_package_is_checked_by_its_hash(image: str, lock: str) -> None:
    runs = [step for name, rest in instructions(image) if name == "RUN" for step in re.split(r"&&|;", rest)]
    installs = [" ".join(step.split()) for step in runs if "pip install" in step]
    known = f"python -m pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: --requirement {lock}"
    ours = "python -m pip install --no-cache-dir --no-deps --no-build-isolation ."
    others = [step for step in installs if step not in (known, ours)]
    assert known in installs
    assert ours in installs
    assert all("tensorrt" in step for step in others)  # of whoever asks for it; the file says that no lock names it


@pytest.mark.parametrize("image", IMAGES)
def test_server_runs_as_an_ordinary_user_whose_folder_is_a_volume(image: str) -> None:
    last = dict(instructions(image))  # the last of each name, which is what the image starts with
    assert int(last["USER"]) > 0
    assert last["VOLUME"] == last["WORKDIR"]
    assert f"FR_HOME={last['VOLUME']}" in last["ENV"]
    assert "PYTHONDONTWRITEBYTECODE=1" in last["ENV"]  # the rest of the image may be read-only


@pytest.mark.parametrize("image", IMAGES)
def test_server_of_the_image_starts_from_what_init_makes(image: str, tmp_path: Path) -> None:
    last = dict(instructions(image))
    environment = dict(word.split("=", 1) for word in shlex.split(last["ENV"]))
    command = json.loads(last["ENTRYPOINT"])
    assert command[:3] == ["fr", "serve", "--config"]
    folder = PurePosixPath(command[3]).parent
    assert folder.is_relative_to(last["VOLUME"])
    made = tmp_path / "server"
    names = ["--name", "faces.example.org", "--name", "127.0.0.1"]
    done = CliRunner().invoke(server, ["init", str(made), *names])
    assert done.exit_code == 0, done.output
    assert environment["FR_CA"] == str(folder / "ca.pem")
    assert (made / "ca.pem").is_file()
    options = dict(zip(command[4::2], command[5::2], strict=True))
    assert options.keys() == {"--host", "--port"}
    config = load_config(made / PurePosixPath(command[3]).name, [f"server.host={options['--host']}"])
    require_safe(config)  # beyond this machine, with TLS
    assert config.access.mode == "keys"
    assert options["--port"] == last["EXPOSE"] == str(config.server.port)

    command = json.loads(last["HEALTHCHECK"].partition("CMD")[2])
    assert command == ["fr", "--server", f"127.0.0.1:{last['EXPOSE']}", "health"]
    assert CliRunner().invoke(build(), ["health", "--help"]).exit_code == 0
