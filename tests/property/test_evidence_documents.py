"""Documents of evidence by whoever has a key: whatever a value is, there is a verdict, and never another error."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest

from fr_core.errors import EvidenceUnusable
from fr_core.storage.audit.values import canonical
from fr_trust.evidence.archive import chunks
from fr_trust.evidence.verify import Verified, verify_bundle
from support.cases import SIGNER, filed, listing

Place: TypeAlias = tuple[str | int, ...]

# Of each type of JSON what is likeliest to trip somebody who expects another, or a value that has its type alone.
OTHERS: tuple[Any, ...] = (
    None, True, -1, 1, 2**53 - 1, 10**400, 0.5, 1e308, "", "x", "\u0661", [], [[]], {}, {"1": {}},
)  # fmt: skip


def places(said: Any, at: Place = ()) -> Iterator[Place]:
    yield at
    inner = said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ()
    for key, value in inner:
        yield from places(value, (*at, key))


def put(said: Any, at: Place, value: Any) -> Any:
    if not at:
        return value
    copied: Any = dict(said) if isinstance(said, dict) else list(said)
    copied[at[0]] = put(said[at[0]], at[1:], value)
    return copied


def bundle_of(files: dict[str, bytes], manifest: Any) -> bytes:
    """A bundle of these files, whose manifest, which lists them where it is one, is signed."""
    if isinstance(manifest, dict) and manifest.get("files") == "theirs":
        manifest = {**manifest, "files": listing(files)}
    data = canonical(manifest)
    return b"".join(chunks({**files, "manifest.json": data, "manifest.sig": SIGNER.sign(data)}))


def verdict(bundle: bytes) -> Verified | None:
    try:
        return verify_bundle(io.BytesIO(bundle), SIGNER.public_key)
    except EvidenceUnusable:
        return None


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Without an audit, which would refuse most of what is changed."""
    bundle = filed(tmp_path_factory.mktemp("kept") / "cases").bundle(audit=False)
    with zipfile.ZipFile(io.BytesIO(bundle)) as opened:
        return {name: opened.read(name) for name in opened.namelist() if name != "manifest.sig"}


@pytest.fixture(scope="module")
def manifest(files: dict[str, bytes]) -> Any:
    return {**json.loads(files.pop("manifest.json")), "files": "theirs"}


@pytest.mark.parametrize("version", ["", "0.0.1"], ids=["with the page compared", "of another version"])
@pytest.mark.parametrize("document", ["search.json", "findings.json", "derivations.json"])
def test_any_value_of_a_document_has_a_verdict(
    files: dict[str, bytes], manifest: Any, document: str, version: str
) -> None:
    manifest = {**manifest, "version": version or manifest["version"]}
    assert verdict(bundle_of(files, manifest)) is not None
    name = f"examinations/01/{document}"
    said = json.loads(files[name])
    for at in places(said):
        for value in OTHERS if at else ({"format": 1}, {}):
            verdict(bundle_of({**files, name: canonical(put(said, at, value))}, manifest))


def test_any_value_of_the_manifest_has_a_verdict(files: dict[str, bytes], manifest: Any) -> None:
    listed = json.loads(canonical({**manifest, "files": {name: {} for name in files}}))
    first = {"sha256": "0" * 64, "size": 1, "what": "x"}
    for said in (manifest, {**listed, "files": {**listed["files"], next(iter(files)): first}}):
        for at in places(said):
            for value in OTHERS:
                verdict(bundle_of(files, put(said, at, value) if at else {"format": value}))
