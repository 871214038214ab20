"""Write what an environment and the model packs are made of: a software bill of materials, CycloneDX in JSON.

`python tools/write_sbom.py FILE`; of another environment than the one that runs this with `--python ENV/bin/python
--lock requirements-cpu.lock`. The packages come from `cyclonedx-py`, the hashes of their files from the lock, the
models and theirs from fr_core/packs. What is written is checked against the schema of CycloneDX first. The same
environment gives the same bytes.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from check_licences import said
from cyclonedx.schema import SchemaVersion
from lock_file import LOCKS, ROOT, Pin, read_lock
from packaging.utils import canonicalize_name

from fr_core.packs.manifest import DetectorSpec, EmbedderSpec, Pack, RegistrySource, Source, load_pack, pack_names

_VERSION = SchemaVersion.V1_6

_NO_LICENCE = "none in its metadata; tools/check_licences.py says why it is allowed"


class SbomWrong(Exception):
    """The written SBOM does not fit the lock or the schema; the text says where, in one line."""


def bill(pins: Sequence[Pin], packs: Sequence[Pack], python: str = sys.executable) -> dict[str, Any]:
    """Return the bill of the environment of a Python, with the hashes of `pins` and the model files of `packs`.

    Raises `SbomWrong` if it holds another version than the lock, or lacks one of its packages.
    """
    made = _environment(python)
    _put_hashes(made["components"], pins)
    _put_licences(made["components"], python)
    _put_models(made, model_components(packs))
    return made


def model_components(packs: Sequence[Pack]) -> list[dict[str, Any]]:
    """One component for each model file that a pack names; a file that packs share is there once."""
    found: dict[str, dict[str, Any]] = {}
    for pack in packs:
        for part, spec in (("detector", pack.detector), ("embedder", pack.embedder)):
            component = found.setdefault(spec.file.sha256, _model(spec))
            name = {"name": "fr-core:pack", "value": f"{pack.name} {pack.version}, {part}, {spec.file.name}"}
            component["properties"].append(name)
    return [found[sha256] for sha256 in sorted(found)]


def checked(made: dict[str, Any]) -> str:
    """Return the bill as text; raises `SbomWrong` if it does not follow the schema."""
    text = json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    from cyclonedx.validation.json import JsonStrictValidator  # a second and more

    error = JsonStrictValidator(_VERSION).validate_str(text)
    if error is not None:
        raise SbomWrong(f"the schema refuses the bill: {str(error.data)[:200]}")
    return text


def _environment(python: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--no-validate"]
    command += ["--sv", _VERSION.to_version(), "--pyproject", str(ROOT / "pyproject.toml"), python]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def _put_hashes(components: Sequence[dict[str, Any]], pins: Sequence[Pin]) -> None:
    wanted = {pin.name: pin for pin in pins if pin.applies()}
    for component in components:
        name = canonicalize_name(component["name"])
        if name == "fr-client":  # the other distribution of this checkout; its references name a folder of this machine
            component.pop("externalReferences", None)
            component["purl"] = f"pkg:pypi/{name}@{component['version']}"
            continue
        pin = wanted.pop(name, None)
        if pin is None or pin.version != component["version"]:
            raise SbomWrong(f"{name} {component['version']} is installed, and the lock does not have it")
        # Several files, of which a machine installs one: a component's own `hashes` would be those of one file.
        component.setdefault("externalReferences", []).append(
            {
                "type": "distribution",
                "url": f"pkg:pypi/{name}@{pin.version}",
                "comment": "any of the files whose hashes the lock names",
                "hashes": [{"alg": "SHA-256", "content": each} for each in pin.sha256],
            }
        )
    if wanted:
        raise SbomWrong(f"the lock has {', '.join(sorted(wanted))}, and the environment does not")


def _put_licences(components: Sequence[dict[str, Any]], python: str) -> None:
    """Say the licence of each package of which `cyclonedx-py` knows none: what metadata say in older ways."""
    command = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    folder = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    names = {canonicalize_name(each.name): said(each) for each in distributions(path=[folder])}
    for component in components:
        if not component.get("licenses"):
            told = names.get(canonicalize_name(component["name"])) or [_NO_LICENCE]
            component["licenses"] = [{"license": {"name": name}} for name in told]


def _model(spec: DetectorSpec | EmbedderSpec) -> dict[str, Any]:
    file = spec.file
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": f"model:{file.sha256}",
        "name": file.name,
        "version": file.sha256[:12],
        "hashes": [{"alg": "SHA-256", "content": file.sha256}],
        "licenses": [{"license": {"name": spec.licence}}],
        "properties": [{"name": "fr-core:family", "value": spec.family}],
    }
    component["externalReferences"] = [_reference(source) for source in file.sources]
    return component


def _reference(source: Source) -> dict[str, Any]:
    """Return where a model file may come from; a package is named by its purl, whichever registry serves it."""
    reference: dict[str, Any] = {
        "type": "distribution",
        "url": f"pkg:pypi/{source.package}@{source.version}" if isinstance(source, RegistrySource) else source.url,
        "comment": f"{source.member} in its {source.archive if isinstance(source, RegistrySource) else 'zip'}",
    }
    if source.archive_sha256 is not None:
        reference["hashes"] = [{"alg": "SHA-256", "content": source.archive_sha256}]
    return reference


def _put_models(made: dict[str, Any], models: list[dict[str, Any]]) -> None:
    """Add the models, which the project, the root of the graph, needs."""
    made["components"] += models
    root = next(each for each in made["dependencies"] if each["ref"] == made["metadata"]["component"]["bom-ref"])
    root["dependsOn"] = sorted([*root["dependsOn"], *(model["bom-ref"] for model in models)])
    made["dependencies"] += [{"ref": model["bom-ref"]} for model in models]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the bill of an environment into the file that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="FILE", help="such as build/sbom.cdx.json")
    parser.add_argument("--python", default=sys.executable, help="of the environment")
    parser.add_argument("--lock", choices=LOCKS, default=LOCKS[0], help="that it was installed from")
    options = parser.parse_args(arguments)
    try:
        made = bill(read_lock(ROOT / options.lock), [load_pack(name) for name in pack_names()], options.python)
        text = checked(made)
    except SbomWrong as error:
        print(f"No bill was written: {error}.", file=sys.stderr)
        return 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, encoding="utf-8")
    models = sum(each["type"] == "machine-learning-model" for each in made["components"])
    print(f"{options.out}: {len(made['components']) - models} packages, {models} model files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
