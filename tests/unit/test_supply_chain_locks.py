"""Locks have what the project asks for, with hashes, one CUDA and allowed licences; images check each hash."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath

import pytest
from check_gpu_libraries import OBJECTS
from check_gpu_libraries import check as check_gpu
from check_licences import EXCEPTIONS, allows, check, said
from lock_file import LOCKS, ROOT, read_lock
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from fr_client.cli.main import build
from fr_server.commands.server import server
from fr_server.config import load_config
from fr_server.config.loading import require_safe

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {
    "requirements.lock": ("cpu", "dev", "insightface"),
    "requirements-cpu.lock": ("build", "cpu", "report", "tracing"),
    "requirements-gpu.lock": ("build", "gpu", "tracing"),
}
HASH = "--hash=sha256:" + "0" * 64


def wanted(extra: str | None) -> Iterator[Requirement]:
    """What an extra asks for, with the extras of this project that it names."""
    for text in PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]:
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) == "fr-core":
            for each in requirement.extras:
                yield from wanted(each)
        else:
            yield requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_what_the_project_asks_for(lock: str) -> None:
    pins: dict[str, list[str]] = {}
    for pin in read_lock(ROOT / lock):
        pins.setdefault(pin.name, []).append(pin.version)
    asked = [each for extra in (None, *EXTRAS[lock]) for each in wanted(extra)]
    assert len(asked) > 15
    for requirement in asked:
        versions = pins.get(canonicalize_name(requirement.name), [])
        assert versions, f"{lock} lacks {requirement.name}: run `make lock`"
        assert all(version in requirement.specifier for version in versions), f"{lock}: {requirement} and {versions}"


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_the_build_backend(lock: str) -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    pins = {pin.name: pin.version for pin in read_lock(ROOT / lock)}
    for requirement in [*map(Requirement, build), Requirement("pip")]:
        assert pins[requirement.name] in requirement.specifier


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_place(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert not re.search(r"https?:|file:|--(extra-)?index|--find-links|--trusted", text)


def test_locks_agree_where_both_have_a_package() -> None:
    first = {(pin.name, pin.version) for pin in read_lock(ROOT / LOCKS[0])}
    names = {name for name, _ in first}
    second = {(pin.name, pin.version) for pin in read_lock(ROOT / LOCKS[1])}
    assert {pin for pin in second if pin[0] in names} <= first


def test_this_environment_is_what_the_lock_says() -> None:
    pins = {pin.name: pin.version for pin in read_lock(ROOT / LOCKS[0]) if pin.applies()}
    here = {canonicalize_name(each.metadata["Name"]): each.version for each in distributions()}
    here.pop(canonicalize_name("fr-core"), None)
    stray = {name: version for name, version in here.items() if pins.get(name) != version}
    assert not stray, "installed by hand, or before the lock changed: remove .venv, and run a target of make"
    assert not pins.keys() - here.keys()


def test_makefile_installs_from_the_lock_alone() -> None:
    makefile = (ROOT / "Makefile").read_text()
    installs = [line for line in makefile.splitlines() if "pip install" in line and not line.startswith("#")]
    assert len(installs) == 2
    for line in installs:
        checked = all(flag in line for flag in ("--require-hashes", "--no-deps", "--only-binary :all:"))
        ours = line.rstrip().endswith("--no-deps --no-build-isolation --editable .")
        assert checked or ours, line


@pytest.mark.parametrize(
    "content",
    [
        "six==1.17.0\n",
        f"six>=1.17.0 \\\n    {HASH}\n",
        f"six==1.17.0 \\\n    {HASH} \\\n    --hash=md5:00\n",
        f"https://example.org/six.whl \\\n    {HASH}\n",
        "--index-url https://example.org/simple\n",
        "# a comment\n",
    ],
    ids=["no hash", "no version", "weak hash", "address", "option", "comment"],
)
def test_anything_but_a_version_with_hashes_is_no_lock(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.lock"
    path.write_text(f"six==1.17.0 ; sys_platform == 'win32' \\\n    {HASH}\n")
    assert [(pin.name, pin.version, pin.applies(), len(pin.sha256)) for pin in read_lock(path)] == [
        ("six", "1.17.0", False, 1)
    ]
    path.write_text(content)
    with pytest.raises(ValueError, match="a line that is no version with hashes"):
        read_lock(path)


PINNED = {pin.name: pin.version for pin in read_lock(ROOT / "requirements-gpu.lock")}


def test_every_cuda_package_is_of_one_major_version() -> None:
    suffixes = {match[1] for name in PINNED if (match := re.search(r"-(cu\d+)$", name))}
    assert suffixes == {"cu12"}
    # From CUDA 13 on the wheels have no suffix, so that one of them would stay unseen.
    assert [name for name in PINNED if name.startswith("nvidia-") and not name.endswith("-cu12")] == []
    assert PINNED["nvidia-cuda-runtime-cu12"].startswith("12.")


def test_libraries_without_cuda_stay_out() -> None:
    assert {"onnxruntime-gpu", "faiss-gpu"} <= PINNED.keys()
    assert not {"onnxruntime", "faiss-cpu", "openvino", "insightface"} & PINNED.keys()


def environment(folder: Path, majors: dict[str, bytes]) -> Path:
    for distribution, content in majors.items():
        path = folder / OBJECTS[distribution]
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\x7fELF" + content)
    return folder


@pytest.mark.parametrize(
    "majors",
    [
        {"onnxruntime-gpu": b"libcudart.so.13\0", "faiss-gpu": b"libcudart.so.12\0"},
        {"onnxruntime-gpu": b"libcudart.so.12\0", "faiss-gpu": b"no CUDA in it"},
        {"onnxruntime-gpu": b"libcudart.so.12\0"},
    ],
    ids=["two versions", "one without", "one missing"],
)
def test_libraries_that_do_not_fit_are_found(tmp_path: Path, majors: dict[str, bytes]) -> None:
    assert check_gpu(environment(tmp_path, majors)) != []
    fitting = {"onnxruntime-gpu": b"libcudart.so.12\0", "faiss-gpu": b"libcudart.so.12\0libcudart.so.12\0"}
    assert check_gpu(environment(tmp_path / "fitting", fitting)) == []


def distribution(folder: Path, *fields: str, name: str = "some-package") -> Distribution:
    path = folder / "some_package-1.0.dist-info"
    path.mkdir()
    (path / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *fields, ""]))
    return Distribution.at(path)


def test_everything_installed_has_a_licence_that_is_allowed() -> None:
    found = list(distributions())
    assert len(found) > 50
    assert check(found) == []


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        (["License-Expression: MIT"], True),
        (["License-Expression: GPL-3.0-only", "License: MIT"], False),
        (["License: MIT"], True),
        (["License: Apache License 2.0"], True),
        (["Classifier: License :: OSI Approved :: MIT License"], True),
        (["Classifier: License :: OSI Approved :: BSD License", "License: BSD-3-Clause"], True),
        (["Classifier: License :: OSI Approved :: BSD License"], False),
        (["Classifier: License :: OSI Approved :: GNU Affero General Public License v3", "License: MIT"], False),
        (["License: A text", "        of several lines"], False),
        (["License: UNKNOWN"], False),
        ([], False),
    ],
)
def test_what_metadata_say_is_allowed_or_told(tmp_path: Path, fields: list[str], allowed: bool) -> None:
    wrong = check([distribution(tmp_path, *fields)])
    assert (wrong == []) is allowed
    assert all(sentence.startswith("some-package 1.0: ") for sentence in wrong)


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT AND BSD-3-Clause", True),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only OR MIT AND LGPL-3.0-only", False),
        ("(GPL-3.0-only OR MIT) AND BSD-2-Clause", True),
        ("(GPL-3.0-only OR MIT", False),
        ("MIT MIT", False),
        ("GPL-3.0-only WITH GCC-exception-3.1", False),
        ("Apache-2.0+", False),
        ("", False),
    ],
)
def test_expressions(expression: str, allowed: bool) -> None:
    assert allows(expression) is allowed


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("insightface", ["License: GPL-3.0-only"]),
        ("insightface", ["Classifier: License :: Free for non-commercial use"]),
        ("apsw", ["License: GPL-3.0-only"]),
        ("scipy", ["License: Another text.", "        Copyleft."]),
    ],
)
def test_an_exception_ends_with_the_words_that_it_rests_on(tmp_path: Path, name: str, fields: list[str]) -> None:
    assert name in EXCEPTIONS
    assert check([distribution(tmp_path, *fields, name=name)]) != []


def test_exceptions_are_needed() -> None:
    for each in distributions():
        if each.metadata["Name"].lower() in EXCEPTIONS:
            assert not (said(each) and all(map(allows, said(each)))), f"{each.metadata['Name']} needs no exception"
    assert all(reason for _, reason in EXCEPTIONS.values())


PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
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
    roots = {package.split("/")[0] for package in PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    needed = roots | {"pyproject.toml", PYPROJECT["project"]["readme"], *PYPROJECT["project"]["license-files"]}
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
