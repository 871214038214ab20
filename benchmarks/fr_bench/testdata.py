"""Finds the labelled photos."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from fr_datasets.errors import DatasetMissing

VARIABLE = "FR_TESTDATA"


def find_testdata(given: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the test data: the one given, else `FR_TESTDATA`, else ../shared/testdata.

    The last is looked for beside this repository, then beside the working directory. What is named is never replaced.

    Raises:
        DatasetMissing: the folder that was named is not there, or none was named and none is found.
    """
    named = given or (Path(environ[VARIABLE]) if environ.get(VARIABLE) else None)
    if named is not None:
        if not named.is_dir():
            raise DatasetMissing(f"The folder {named} is not there.")
        return named
    repository = Path(__file__).resolve().parents[2]
    places = [folder.parent / "shared" / "testdata" for folder in (repository, Path.cwd())]
    for place in places:
        if place.is_dir():
            return place
    raise DatasetMissing(f"No test data at {places[0]}; name their folder with --testdata or {VARIABLE}.")
