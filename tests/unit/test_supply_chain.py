"""The supply chain: vulnerabilities, the bill of materials, locks, licences, images, and code that runs no input."""

import ast
import json
import re
import shlex
import struct
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from check_gpu_libraries import OBJECTS, TENSORRT_OBJECT, needed
from check_gpu_libraries import check as check_gpu
from check_licences import EXCEPTIONS, allows, check, said
from check_vulnerabilities import CANARY, Service, ServiceSilent, answers, ask, known, locked, main, one_of_each
from lock_file import LOCKS, ROOT, read_lock
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner
from write_sbom import SbomWrong, bill, checked

import fr_client
import fr_core
from fr_core.packs.manifest import load_pack, pack_names
from fr_server.commands.server import server
from fr_server.config import load_config
from fr_server.config.loading import require_safe
from fr_server.health_check import DEFAULT_ADDRESS
from support.loopback import answering, send

OLD, NEW = ("pillow", "9.0.0"), ("pillow", "13.0.0")


@contextmanager
def osv_of(**known_ids: dict[str, str]) -> Iterator[Service]:
    """A service on the loopback address that answers as OSV's does, from a table of vulnerable releases."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        name = asked["package"]["name"]
        advisory = known_ids.get(name, {}).get(asked["version"])
        package = {"package": {"name": name, "ecosystem": "PyPI"}, "versions": [asked["version"]]}
        record = {"id": advisory, "modified": "2026-01-02T00:00:00Z", "affected": [package]}
        send(handler, json.dumps({"vulns": [record]} if advisory else {}).encode())

    with answering(answer) as port:
        yield ["--osv-url", f"http://127.0.0.1:{port}/v1/query", "--vulnerability-service", "osv"]


@pytest.fixture(scope="module")
def osv() -> Iterator[Service]:
    with osv_of(requests={"2.19.0": "TEST-1"}, pillow={"9.0.0": "TEST-2"}) as made:
        yield made


@pytest.fixture(scope="module")
def mute() -> Iterator[Service]:
    """A mirror: it answers everybody, and knows of no vulnerability at all."""
    with osv_of() as made:
        yield made


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.nightly
def test_silence_is_no_all_clear(mute: Service, osv: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask([mute, osv], [OLD, NEW]) == ("osv", {OLD: ["TEST-2"]})
    assert known(mute, [OLD], 20) == {}  # so `pip-audit` alone would say that there are none
    with pytest.raises(ServiceSilent, match=r"does not report the known vulnerabilities of requests==2\.19\.0"):
        ask([mute], [OLD])
    # As pip-audit 2.10 prints it, with exit status 0 and the words "No known vulnerabilities found".
    skipped = '{"name": "pillow", "skip_reason": "Dependency not found on PyPI and could not be audited"}'
    listed = '{"name": "requests", "version": "2.19.0", "vulns": [{"id": "TEST-1"}]}'
    assert answers("pypi", f'{{"dependencies": [{listed}]}}', [CANARY]) == {CANARY: ["TEST-1"]}
    with pytest.raises(ServiceSilent, match="pypi does not know 1 of 2 releases"):
        answers("pypi", f'{{"dependencies": [{listed}, {skipped}]}}', [CANARY, OLD])
    nowhere = ["--osv-url", "http://127.0.0.1:9/v1/query"]
    assert main(nowhere) == 0
    told = capsys.readouterr()
    assert "NOT CHECKED" in told.err
    assert "osv cannot be reached" in told.err
    assert "none of" not in told.out + told.err
    assert main([*nowhere, "--required"]) == 2


def test_every_locked_release_is_asked_about_and_decides(osv: Service, capsys: pytest.CaptureFixture[str]) -> None:
    releases = locked()
    names = [name for name, _ in releases]
    assert {"numpy", "grpcio", "hatchling", "pip", "onnxruntime-gpu", "nvidia-cudnn-cu13"} <= set(names)
    assert names.count("numpy") == 2  # of two versions of Python
    lists = one_of_each(releases)
    assert sorted(release for each in lists for release in each) == releases
    assert all(len({name for name, _ in each}) == len(each) for each in lists)
    assert main([*osv[:2], "--required"]) == 0
    assert "Known vulnerabilities: none of" in capsys.readouterr().out
    name, version = locked()[0]
    with osv_of(**{"requests": {"2.19.0": "TEST-1"}, name: {version: "TEST-3"}}) as bad:
        assert main(bad[:2]) == 1
    assert f"{name} {version}: TEST-3" in capsys.readouterr().err


PINS = [pin for pin in read_lock(ROOT / LOCKS[0]) if pin.applies()]
PACKS = [load_pack(name) for name in pack_names()]


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return bill(PINS, PACKS)


def hashes(component: dict[str, Any]) -> set[str]:
    own = component.get("hashes", [])
    return {each["content"] for each in own} | {
        each["content"] for reference in component["externalReferences"] for each in reference.get("hashes", [])
    }


def test_every_package_of_the_lock_is_there(made: dict[str, Any]) -> None:
    libraries = [each for each in made["components"] if each["type"] == "library"]
    packages: dict[str, dict[str, Any]] = {canonicalize_name(each["name"]): each for each in libraries}
    assert set(packages) == {"fr-client", *(pin.name for pin in PINS)}
    for pin in PINS:
        component = packages[pin.name]
        assert component["version"] == pin.version
        assert component["purl"].startswith("pkg:pypi/")
        assert set(pin.sha256) <= hashes(component)
        assert component["licenses"]
    assert packages["protobuf"]["licenses"] == [{"license": {"name": "BSD-3-Clause"}}]  # by a classifier alone


def test_every_model_file_is_there(made: dict[str, Any]) -> None:
    models = [each for each in made["components"] if each["type"] == "machine-learning-model"]
    files: dict[str, set[tuple[str, str]]] = {}
    for pack in PACKS:
        for file in pack.files:
            files.setdefault(file.sha256, set()).add((pack.name, file.name))
    assert max(map(len, files.values())) > 1  # packs that share a file
    assert {each["hashes"][0]["content"] for each in models} == set(files)
    assert len(models) == len(files)
    for each in models:
        names = files[each["hashes"][0]["content"]]  # a file may have a name of its own in each pack
        assert each["name"] in {name for _, name in names}
        told = [each["value"] for each in each["properties"] if each["name"] == "fr-core:pack"]
        assert {(value.partition(" ")[0], value.rpartition(" ")[2]) for value in told} == names
        assert each["licenses"][0]["license"]["name"]


def test_the_bill_is_whole_and_tells_nothing_of_the_machine(made: dict[str, Any]) -> None:
    graph = {each["ref"]: each.get("dependsOn", []) for each in made["dependencies"]}
    refs = {each["bom-ref"] for each in made["components"]}
    root = made["metadata"]["component"]["bom-ref"]
    reached, waiting = set(), [root]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += graph[ref]
    assert reached - {root} == refs
    assert made["metadata"]["component"]["name"] == "fr-core"
    text = json.dumps(made)
    assert str(ROOT) not in text
    assert "file:" not in text
    assert "timestamp" not in made["metadata"]
    assert "serialNumber" not in made
    wrong = [replace(pin, version="0.0.1") if pin.name == "numpy" else pin for pin in PINS]
    with pytest.raises(SbomWrong, match=r"numpy .* is installed, and the lock does not have it"):
        bill(wrong, PACKS)
    with pytest.raises(SbomWrong, match="the lock has not-here, and the environment does not"):
        bill([*PINS, replace(PINS[0], name="not-here")], PACKS)


@pytest.mark.nightly
def test_schema_is_asked(made: dict[str, Any]) -> None:
    # A few components, since the whole takes seconds; `make sbom` checks the whole.
    some = made["components"][:2] + made["components"][-2:]
    small = {**made, "components": some, "dependencies": []}
    assert json.loads(checked(small)) == small
    with pytest.raises(SbomWrong, match="the schema refuses"):
        checked({**small, "components": [{**some[0], "type": "no such type"}]})
    with pytest.raises(SbomWrong, match="the schema refuses"):
        checked({**small, "components": [{**some[-1], "hashes": [{"alg": "SHA-256", "content": "no hash"}]}]})


PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
CLIENT = tomllib.loads((ROOT / "client/pyproject.toml").read_text())["project"]
EXTRAS = {
    "requirements.lock": ("cpu", "dev", "insightface"),
    "requirements-cpu.lock": ("build", "cpu", "report", "tracing", "web"),
    "requirements-gpu.lock": ("build", "gpu", "report", "tracing", "web"),
    "requirements-demo.lock": ("build", "cpu"),
}
HASH = "--hash=sha256:" + "0" * 64


def wanted(extra: str | None) -> Iterator[Requirement]:
    """The requirements of an extra, with those of the project's own extras that it names."""
    for text in PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if name == "fr-client":
            yield from map(Requirement, CLIENT["dependencies"] + CLIENT["optional-dependencies"]["cli"])
        elif name == "fr-core":
            for each in requirement.extras:
                yield from wanted(each)
        else:
            yield requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_whole_and_names_no_place(lock: str) -> None:
    pins: dict[str, list[str]] = {}
    for pin in read_lock(ROOT / lock):
        pins.setdefault(pin.name, []).append(pin.version)
    asked = [each for extra in (None, *EXTRAS[lock]) for each in wanted(extra)]
    assert len(asked) > 15
    for requirement in asked:
        versions = pins.get(canonicalize_name(requirement.name), [])
        assert versions, f"{lock} lacks {requirement.name}: run `make lock`"
        assert all(version in requirement.specifier for version in versions), f"{lock}: {requirement} and {versions}"
    build = PYPROJECT["build-system"]["requires"]
    for requirement in [*map(Requirement, build), Requirement("pip")]:
        assert all(version in requirement.specifier for version in pins[requirement.name])
    text = (ROOT / lock).read_text()
    assert not re.search(r"https?:|file:|--(extra-)?index|--find-links|--trusted", text)


def test_both_distributions_have_one_version_and_one_licence() -> None:
    assert (ROOT / "client/LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert fr_core.__version__ == fr_client.__version__
    assert f"fr-client[cli]=={fr_client.__version__}" in PROJECT["dependencies"]


def test_locks_agree_and_this_environment_is_what_the_first_says() -> None:
    first = {(pin.name, pin.version) for pin in read_lock(ROOT / LOCKS[0])}
    names = {name for name, _ in first}
    for lock in ("requirements-cpu.lock", "requirements-demo.lock"):
        other = {(pin.name, pin.version) for pin in read_lock(ROOT / lock)}
        assert {pin for pin in other if pin[0] in names} <= first
    pins = {pin.name: pin.version for pin in read_lock(ROOT / LOCKS[0]) if pin.applies()}
    here = {canonicalize_name(each.metadata["Name"]): each.version for each in distributions()}
    del here[canonicalize_name("fr-core")], here[canonicalize_name("fr-client")]
    stray = {name: version for name, version in here.items() if pins.get(name) != version}
    assert not stray, "installed by hand, or before the lock changed: remove .venv, and run a target of make"
    assert not pins.keys() - here.keys()


def test_makefile_installs_from_the_lock_alone() -> None:
    makefile = (ROOT / "Makefile").read_text()
    installs = [line for line in makefile.splitlines() if "pip install" in line and not line.startswith("#")]
    assert len(installs) == 2
    for line in installs:
        checked = all(flag in line for flag in ("--require-hashes", "--no-deps", "--only-binary :all:"))
        ours = line.rstrip().endswith("--no-deps --no-build-isolation --editable client --editable .")
        assert checked or ours, line


@pytest.mark.parametrize(
    ("target", "lock"),
    [
        ("demo", "requirements-demo.lock"),
        ("demo-training", "requirements-cpu.lock"),
        ("test-fast", "requirements.lock"),
    ],
)
def test_each_target_installs_what_it_runs(tmp_path: Path, target: str, lock: str) -> None:
    command = ["make", "--dry-run", target, f"VENV={tmp_path / 'env'}"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    assert set(re.findall(r"--requirement (requirements\S*)", told)) == {lock}
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / ".installed").touch()  # the tools of developers are there
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "pip install" not in told


def test_the_demo_installs_no_tools_of_developers() -> None:
    names = {pin.name for pin in read_lock(ROOT / "requirements-demo.lock")}
    assert names.isdisjoint({"pytest", "mypy", "ruff", "scipy", "scikit-learn", "pyarrow", "matplotlib", "insightface"})


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


def test_there_is_one_cuda_and_no_library_without() -> None:
    suffixes = {match[1] for name in PINNED if (match := re.search(r"-(cu\d+)$", name))}
    assert suffixes == {"cu13"}
    # From CUDA 13 on most wheels of NVIDIA have no suffix.
    assert PINNED["nvidia-cuda-runtime"].startswith("13.")
    assert PINNED["nvidia-cublas"].startswith("13.")
    assert {"onnxruntime-gpu", "faiss-gpu-cuvs", "libcuvs-cu13"} <= PINNED.keys()
    assert not {"onnxruntime", "faiss-cpu", "faiss-gpu", "openvino", "insightface"} & PINNED.keys()


def shared_object(*names: str) -> bytes:
    """Return the least that an ELF file has which needs shared objects of these names."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    places = [strings.index(name.encode() + b"\0") for name in names]
    tables, base = 64 + 2 * 56, 0x10000  # where the segment of strings is in memory, unlike in the file
    dynamic = b"".join(struct.pack("<QQ", 1, place) for place in places) + struct.pack("<QQQQ", 5, base, 0, 0)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    programs = [
        struct.pack("<IIQQQQQQ", 1, 4, tables, base, base, len(strings), len(strings), 1),
        struct.pack("<IIQQQQQQ", 2, 4, tables + len(strings), 0, 0, len(dynamic), len(dynamic), 8),
    ]
    return header + b"".join(programs) + strings + dynamic


def test_what_a_shared_object_needs_is_read_from_its_header(tmp_path: Path) -> None:
    path = tmp_path / "lib.so"
    path.write_bytes(shared_object("libcudart.so.13", "libc.so.6"))
    assert needed(path) == ("libcudart.so.13", "libc.so.6")
    (real,) = Path(np.__file__).parent.rglob("_multiarray_umath*.so")
    assert "libc.so.6" in needed(real)
    for content in (b"", b"\x7fELF\x01\x01" + bytes(100), b"MZ" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="no shared object"):
            needed(path)


RUNTIMES = {"nvidia/cu12/lib/libcudart.so.12": ("libc.so.6",), "nvidia/cu13/lib/libcudart.so.13": ("libc.so.6",)}
FITTING = {
    "onnxruntime-gpu": ("libcudart.so.13", "libcuda.so.1"),
    "faiss-gpu-cuvs": ("libcuvs.so", "libcudart.so.13"),
    "libcuvs-cu13": ("libcuvs.so",),
    "libcuvs/lib64/libcuvs.so": ("libcudart.so.13", "libstdc++.so.6"),
}


def environment(folder: Path, objects: Mapping[str, tuple[str, ...]]) -> Path:
    for distribution, names in {**RUNTIMES, **objects}.items():
        path = folder / OBJECTS.get(distribution, distribution)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(shared_object(*names) + b"libcudart.so.12\0")  # a name in it is not what it needs
    return folder


def test_libraries_that_fit_are_found_to_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_gpu(environment(tmp_path, FITTING)) == []
    assert capsys.readouterr().out.splitlines() == [f"{name} wants CUDA 13" for name in OBJECTS]
    tensorrt = {TENSORRT_OBJECT: ("libnvinfer.so.10", "libcudart.so.13"), "tensorrt_libs/libnvinfer.so.10": ()}
    assert check_gpu(environment(tmp_path, tensorrt)) == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"onnxruntime-gpu": ("libcudart.so.12",)}, "different versions of CUDA: 12, 13"),
        ({"libcuvs/lib64/libcuvs.so": ("libcudart.so.12",)}, "different versions of CUDA: 12, 13"),
        ({"faiss-gpu-cuvs": ("libgomp-1.so.1",), "x/libgomp-1.so.1": ()}, "needs no CUDA"),
        ({"faiss-gpu-cuvs": ("libcudart.so.13", "libcuvs_new.so")}, "nothing installed is libcuvs_new.so"),
        ({"libcuvs/lib64/libcuvs.so": ("libcudart.so.13", "librmm.so")}, "nothing installed is librmm.so"),
        (
            {TENSORRT_OBJECT: ("libcudart.so.13", "libnvinfer.so.10"), "tensorrt_libs/libnvinfer.so.11": ()},
            "TensorRT: nothing installed is libnvinfer.so.10",
        ),
    ],
    ids=[
        "two versions",
        "two versions further down",
        "one without",
        "one missing",
        "one missing further down",
        "TensorRT",
    ],
)
def test_libraries_that_do_not_fit_are_found(tmp_path: Path, changed: dict[str, tuple[str, ...]], says: str) -> None:
    assert says in " ".join(check_gpu(environment(tmp_path, {**FITTING, **changed})))


def test_a_library_that_is_not_installed_is_found(tmp_path: Path) -> None:
    path = environment(tmp_path, FITTING) / OBJECTS["onnxruntime-gpu"]
    path.unlink()
    assert check_gpu(tmp_path) == [f"onnxruntime-gpu: {OBJECTS['onnxruntime-gpu']} is missing"]


def distribution(folder: Path, *fields: str, name: str = "some-package") -> Distribution:
    path = folder / "some_package-1.0.dist-info"
    path.mkdir()
    (path / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *fields, ""]))
    return Distribution.at(path)


def test_all_licences_are_allowed_and_exceptions_needed() -> None:
    found = list(distributions())
    assert len(found) > 50
    assert check(found) == []
    for each in distributions():
        if each.metadata["Name"].lower() in EXCEPTIONS:
            assert not (said(each) and all(map(allows, said(each)))), f"{each.metadata['Name']} needs no exception"
    assert all(reason for _, reason in EXCEPTIONS.values())


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


IMAGES = {"Dockerfile": "requirements-cpu.lock", "Dockerfile.gpu": "requirements-gpu.lock"}


def instructions(image: str) -> list[tuple[str, str]]:
    """(instruction, rest) of each, with continued lines joined and comments gone."""
    lines = [line for line in (ROOT / image).read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line.strip()]


def let_in() -> set[str]:
    """Return the entries of the repository that .dockerignore lets in."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    return {line[1:] for line in lines if line.startswith("!")}


@pytest.mark.parametrize("image", IMAGES)
def test_image_has_every_room_of_the_distribution(image: str) -> None:
    roots = {package.split("/")[0] for package in PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    needed = roots | {
        "pyproject.toml",
        "hatch_build.py",
        "client",
        "proto",
        PROJECT["readme"],
        *PROJECT["license-files"],
        IMAGES[image],
    }
    assert "training" in needed
    assert needed <= let_in()
    assert all((ROOT / path).exists() for path in let_in())
    copied = [rest for name, rest in instructions(image) if name == "COPY" and "--from" not in rest]
    assert copied == [f"{IMAGES[image]} ./", ". ."]


@pytest.mark.parametrize("image", IMAGES)
def test_nothing_that_builds_comes_into_the_image(image: str) -> None:
    stages = " ".join(rest if name != "FROM" else f"FROM {rest}" for name, rest in instructions(image)).split("FROM ")
    last = stages[-1]
    assert last.startswith("python ")  # of the stage that only has Python; not of `build`
    assert re.findall(r"--from=(\S+) (\S+)", last) == [("build", "/opt/fr")]
    shared = next(stage for stage in stages if stage.startswith("${BASE} AS python"))
    (installed,) = re.findall(r"install --yes --no-install-recommends ([a-z0-9. -]+?) +&&", shared)
    assert set(installed.split()) <= {"ca-certificates", "python3", "python3.12"}
    assert "rm -rf /var/lib/apt/lists/* /var/cache/*" in shared
    assert "apt-get" not in last
    build = {canonicalize_name(Requirement(text).name) for text in PROJECT["optional-dependencies"]["build"]}
    removed = re.search(r"pip uninstall --yes ([a-z -]+?) +&&", " ".join(stages))
    assert removed is not None
    assert build <= set(removed[1].split())
    # Python that may not write its compiled modules must find them: of pip, which compiles, and of the base image.
    assert "--no-compile" not in " ".join(stages)


@pytest.mark.parametrize(("image", "lock"), IMAGES.items())
def test_every_package_is_checked_by_its_hash(image: str, lock: str) -> None:
    runs = [step for name, rest in instructions(image) if name == "RUN" for step in re.split(r"&&|;", rest)]
    installs = [" ".join(step.split()) for step in runs if "pip install" in step]
    known = f"python -m pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: --requirement {lock}"
    ours = "python -m pip install --no-cache-dir --no-deps --no-build-isolation ./client ."
    others = [step for step in installs if step not in (known, ours)]
    assert known in installs
    assert ours in installs
    assert all("tensorrt" in step for step in others)  # where it is asked for; the file says that no lock names it


@pytest.mark.parametrize("image", IMAGES)
def test_server_of_the_image_runs_as_an_ordinary_user_from_what_init_makes(image: str, tmp_path: Path) -> None:
    last = dict(instructions(image))  # the last of each name, which is what the image starts with
    assert int(last["USER"]) > 0
    assert last["VOLUME"] == last["WORKDIR"]
    assert f"FR_HOME={last['VOLUME']}" in last["ENV"]
    assert "PYTHONDONTWRITEBYTECODE=1" in last["ENV"]  # the rest of the image may be read-only
    environment = dict(word.split("=", 1) for word in shlex.split(last["ENV"]))
    assert json.loads(last["ENTRYPOINT"]) == ["fr"]
    command = json.loads(last["CMD"])
    assert command[:2] == ["serve", "--config"]
    folder = PurePosixPath(command[2]).parent
    assert folder.is_relative_to(last["VOLUME"])
    made = tmp_path / "server"
    done = CliRunner().invoke(server, ["init", str(made), "--name", "faces.example.org"])
    assert done.exit_code == 0, done.output
    config = load_config(made / PurePosixPath(command[2]).name, environ=environment)
    require_safe(config)
    assert config.server.host == "0.0.0.0"  # beyond this machine, with TLS
    assert config.access.mode == "keys"
    assert config.model.device == ("cuda" if image == "Dockerfile.gpu" else "auto")
    assert last["EXPOSE"] == str(config.server.port)
    check = json.loads(last["HEALTHCHECK"].partition("CMD")[2])
    assert check == ["fr-health"]
    assert PROJECT["scripts"]["fr-health"] == "fr_server.health_check:main"
    assert f"127.0.0.1:{last['EXPOSE']}" == DEFAULT_ADDRESS


ROOMS = ("fr_core", "server", "client", "datasets", "evaluation", "locales", "training", "trust", "video", "benchmarks")

# Modules whose readers run what they read, or whose connections unpickle.
MODULES = {
    *("pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"),
    *("runpy", "code", "multiprocessing", "concurrent.futures.process", "torch", "pandas", "yaml"),
}
BUILTINS = {"eval", "exec", "compile", "__import__"}
# (object, method) of calls that run text or unpickle; "*" = of whatever.
CALLS = {
    ("os", "system"),
    ("os", "popen"),
    ("subprocess", "getoutput"),
    ("subprocess", "getstatusoutput"),
    ("asyncio", "create_subprocess_shell"),
    ("*", "ProcessPoolExecutor"),
    ("*", "read_pickle"),
    ("yaml", "load"),
}

EXCEPTED = {
    "server/fr_server/workers/messages.py: pickle": "messages between the processes of one server, over a socket pair "
    "that it made and no other process has; nothing of a client is unpickled, only values that a front-end parsed",
    "server/fr_server/workers/messages.py: multiprocessing": "the type of that connection",
    "server/fr_server/workers/process.py: multiprocessing": "makes that socket pair",
    "server/fr_server/workers/frontend.py: multiprocessing": "takes its end of that socket pair",
    "benchmarks/fr_bench/speed/child.py: multiprocessing": "a child of a measurement, fed by it alone",
    "benchmarks/fr_bench/speed/generator.py: multiprocessing": "a child of a measurement",
    "benchmarks/fr_bench/speed/peer.py: multiprocessing": "a child of a measurement",
    "benchmarks/fr_bench/speed/rest_peer.py: multiprocessing": "a child of a measurement",
    "benchmarks/fr_bench/speed/search_child.py: multiprocessing": "a child of a measurement",
    "benchmarks/fr_bench/speed/stand_in.py: multiprocessing": "a child of a measurement",
    "benchmarks/fr_bench/speed/training_trainees.py: multiprocessing": "a child of a measurement",
}


def dangers(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (found for alias in node.names if (found := module(alias.name)))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield from dict.fromkeys(found for name in names if (found := module(name)))
            yield from (alias.name for alias in node.names if {(node.module, alias.name), ("*", alias.name)} & CALLS)
        elif isinstance(node, ast.Call):
            yield from call(node)
        elif isinstance(node, ast.Attribute) and ("*", node.attr) in CALLS:
            yield node.attr
        elif isinstance(node, ast.Name) and (node.id in BUILTINS or ("*", node.id) in CALLS):
            yield node.id


def module(name: str) -> str | None:
    """The module of `MODULES` that an imported name is, or is part of."""
    parts = name.split(".")
    return next((found for end in range(len(parts), 0, -1) if (found := ".".join(parts[:end])) in MODULES), None)


def call(node: ast.Call) -> Iterator[str]:
    function = node.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        if (function.value.id, function.attr) in CALLS:
            yield f"{function.value.id}.{function.attr}"
        if (function.value.id, function.attr) == ("importlib", "import_module"):
            yield from (str(arg.value) for arg in node.args if isinstance(arg, ast.Constant) and module(str(arg.value)))
    for keyword in node.keywords:
        says_no = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        if keyword.arg in ("allow_pickle", "shell") and not says_no:
            yield f"{keyword.arg}="
    # The third argument of numpy.load by place.
    if isinstance(function, ast.Attribute) and function.attr == "load" and len(node.args) > 2:
        yield "allow_pickle="


def test_product_code_runs_nothing_that_it_reads() -> None:
    found_in = (sorted((ROOT / room).rglob("*.py")) for room in ROOMS)
    paths = [path for found in found_in for path in found if "site-packages" not in path.parts]
    assert len(paths) > 300
    found = {
        f"{path.relative_to(ROOT)}: {danger}" for path in paths for danger in dangers(path.read_text(encoding="utf-8"))
    }
    assert found == set(EXCEPTED)


@pytest.mark.parametrize(
    ("source", "danger"),
    [
        ("import numpy, pickle as p", "pickle"),
        ("from pickle import loads", "pickle"),
        ("from multiprocessing.connection import Connection", "multiprocessing"),
        ("from concurrent.futures import ProcessPoolExecutor as Pool", "ProcessPoolExecutor"),
        ("import concurrent.futures as f\nf.ProcessPoolExecutor()", "ProcessPoolExecutor"),
        ("from concurrent.futures import process", "concurrent.futures.process"),
        ("import importlib\nimportlib.import_module('dill')", "dill"),
        ("import numpy as np\nnp.load('a', allow_pickle=True)", "allow_pickle="),
        ("import numpy as np\nnp.load('a', None, True)", "allow_pickle="),
        ("import numpy as np\nnp.load('a', allow_pickle=False)", None),
        ("eval('1')", "eval"),
        ("f = exec", "exec"),
        ("import re\nre.compile('a')", None),
        ("import yaml\nyaml.load('a')", "yaml"),
        ("import subprocess\nsubprocess.run('a', shell=True)", "shell="),
        ("import os\nos.system('a')", "os.system"),
        ("from os import system", "system"),
        ("'pickle.loads'", None),
    ],
)
def test_the_scan_sees(source: str, danger: str | None) -> None:
    found = set(dangers(source))
    assert found == set() if danger is None else danger in found
