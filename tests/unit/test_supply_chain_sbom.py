"""The bill of materials: every package of the lock, every model file, with their hashes, as the schema wants it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from lock_file import LOCKS, ROOT, read_lock
from packaging.utils import canonicalize_name
from write_sbom import SbomWrong, bill, checked, model_components

from fr_core.packs.manifest import load_pack, pack_names

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
    assert set(packages) == {pin.name for pin in PINS}
    for pin in PINS:
        component = packages[pin.name]
        assert component["version"] == pin.version
        assert component["purl"].startswith("pkg:pypi/")
        assert set(pin.sha256) <= hashes(component)
        assert component["licenses"]
    assert packages["protobuf"]["licenses"] == [{"license": {"name": "BSD-3-Clause"}}]  # by a classifier alone


def test_every_model_file_is_there(made: dict[str, Any]) -> None:
    models = [each for each in made["components"] if each["type"] == "machine-learning-model"]
    files: dict[str, set[str]] = {}
    for pack in PACKS:
        for file in pack.files:
            files.setdefault(file.sha256, set()).add(file.name)
    assert {each["hashes"][0]["content"] for each in models} == set(files)
    assert len(models) == len(files)
    for each in models:
        names = files[each["hashes"][0]["content"]]  # a file may have a name of its own in each pack
        assert each["name"] in names
        told = [each["value"] for each in each["properties"] if each["name"] == "fr-core:pack"]
        assert {value.rpartition(" ")[2] for value in told} == names
        assert each["licenses"][0]["license"]["name"]


def test_a_file_that_packs_share_is_there_once_and_names_both() -> None:
    pack = PACKS[0]
    models = model_components([pack, replace(pack, name="another")])
    assert len(models) == 2
    for each in models:
        named = {each["value"].split(" ")[0] for each in each["properties"] if each["name"] == "fr-core:pack"}
        assert named == {pack.name, "another"}


def test_project_needs_all_of_it(made: dict[str, Any]) -> None:
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


def test_bill_tells_nothing_of_the_machine(made: dict[str, Any]) -> None:
    text = json.dumps(made)
    assert str(ROOT) not in text
    assert "file:" not in text
    assert "timestamp" not in made["metadata"]
    assert "serialNumber" not in made


def test_environment_and_lock_must_be_one() -> None:
    wrong = [replace(pin, version="0.0.1") if pin.name == "numpy" else pin for pin in PINS]
    with pytest.raises(SbomWrong, match=r"numpy .* is installed, and the lock does not have it"):
        bill(wrong, PACKS)
    with pytest.raises(SbomWrong, match="the lock has not-here, and the environment does not"):
        bill([*PINS, replace(PINS[0], name="not-here")], PACKS)


def test_schema_is_asked(made: dict[str, Any]) -> None:
    # A few components, since the whole takes seconds; `make sbom` checks the whole.
    some = made["components"][:2] + made["components"][-2:]
    small = {**made, "components": some, "dependencies": []}
    assert json.loads(checked(small)) == small
    with pytest.raises(SbomWrong, match="the schema refuses"):
        checked({**small, "components": [{**some[0], "type": "no such type"}]})
    with pytest.raises(SbomWrong, match="the schema refuses"):
        checked({**small, "components": [{**some[-1], "hashes": [{"alg": "SHA-256", "content": "no hash"}]}]})
