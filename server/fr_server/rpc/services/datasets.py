"""The data sets of a server as callers name them, and their errors as callers may read them."""

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from fr_core.errors import DatasetUnavailable, DatasetUnusable, FigureUndefined, message
from fr_core.scoring.intervals import UndefinedRate
from fr_datasets.errors import DatasetError, DatasetNotLinked
from fr_datasets.links import datasets_folder, find_link
from fr_datasets.manifests import manifest_names
from fr_evaluation.offers import READERS
from fr_training.build.sources import COURSE_READERS


def dataset_root(name: str, kind: str) -> Path:
    """Return where a data set lies, by its name, never a path; raises `DatasetUnavailable`, which repeats no name.

    `kind` is one of `fr_evaluation.report.KINDS`, or "course" for a training course.
    """
    offered = COURSE_READERS if kind == "course" else READERS[kind]
    if name not in manifest_names():
        near = get_close_matches(name, offered, n=1)
        if near:
            raise DatasetUnavailable(message("error.rpc.no_dataset_but_near", near=near[0]))
        raise DatasetUnavailable(message("error.rpc.no_dataset"))
    if name not in offered:
        if kind == "verification":
            raise DatasetUnavailable(message("error.rpc.dataset_without_pairs", name=name))
        raise DatasetUnavailable(message("error.rpc.dataset_without_people", name=name))
    try:
        return find_link(name, datasets_folder()).root
    except DatasetNotLinked:
        raise DatasetUnavailable(message("error.rpc.data_set_not_linked", name=name)) from None


@contextmanager
def dataset_errors() -> Iterator[None]:
    """Turn an error of a data set, which names files and so people, into one for the caller."""
    try:
        yield
    except (DatasetError, OSError) as error:
        code = error.code if isinstance(error, DatasetError) else DatasetError.code
        raise DatasetUnusable(message("error.rpc.data_set_cannot_used", code=code), code=code) from None
    except UndefinedRate as error:
        raise FigureUndefined(message("error.rpc.figure_undefined", why=error.reason)) from None
