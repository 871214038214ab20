"""The locks: they satisfy what the project asks for, every file has a hash, and `make` installs nothing else."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
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
