"""The locks have what the project asks for, with hashes, one CUDA, and licences that are allowed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from check_gpu_libraries import OBJECTS
from check_gpu_libraries import check as check_gpu
from check_licences import EXCEPTIONS, allows, check, said
from lock_file import LOCKS, ROOT, read_lock
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
