"""The image without what its Dockerfile leaves out: a copy of the packages of its lock finds faces on each runtime."""

import os
import re
import shutil
import subprocess
import sysconfig
import tomllib
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest
from lock_file import read_lock

from fr_core.packs.cache import ModelCache
from support.commands import REPOSITORY

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.nightly]

FIND = """
import sys
import cv2, faiss, matplotlib.pyplot, numpy.testing, onnx, apsw
from pathlib import Path
import fr_server.main
from fr_core.runtime.observe import NullObserver
from fr_server.config import config_from
from fr_server.engine import open_engine
for device in ("cpu", "openvino"):
    engine = open_engine(config_from({"model": {"device": device}}), NullObserver())
    print(engine.device.active, len(engine.pipeline.analyze(Path(sys.argv[1]).read_bytes()).faces), cv2.__file__)
    engine.close()
"""


def test_what_is_left_of_the_packages_runs_every_device(
    tmp_path: Path, pack_cache: ModelCache, photos: dict[str, Path]
) -> None:
    venv.create(tmp_path / "fr")
    (site,) = (tmp_path / "fr/lib").glob("python3*/site-packages")
    here = Path(sysconfig.get_path("platlib"))
    for pin in read_lock(REPOSITORY / "requirements-cpu.lock"):
        for file in (distribution(pin.name).files or ()) if pin.applies() else ():
            if ".." not in file.parts and (here / file).is_file():
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(here / file, site / file)
    dockerfile = (REPOSITORY / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    (step,) = re.findall(r"RUN (cd /opt/fr/lib.*)", dockerfile)
    before = size(site)
    subprocess.run(["sh", "-euc", step.replace("/opt/fr", str(tmp_path / "fr"))], check=True, timeout=60)
    assert size(site) < before - 100e6
    packages = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    roots = {str(REPOSITORY / "client"), *(str((REPOSITORY / package).parent) for package in packages["packages"])}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}
    command: list[str | Path] = [tmp_path / "fr/bin/python", "-c", FIND, photos["obama"]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    assert [(device, faces) for device, faces, _ in told] == [("cpu", "1"), ("openvino", "1")]
    assert all(Path(file).is_relative_to(site) for *_, file in told)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
