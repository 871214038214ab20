"""A report measured again: the same photos, models and settings, and every figure held against the recorded one."""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fr_core.engine import Engine, EngineOptions
from fr_datasets.manifests import Manifest
from fr_evaluation.files import AnyReport, report_keys, scores_csv
from fr_evaluation.identification.run import PeopleToSearch, read_people, run_identification
from fr_evaluation.identification.run import list_sha256 as people_sha256
from fr_evaluation.identification.searches import open_set
from fr_evaluation.photos import OnProgress
from fr_evaluation.recorded import NotRepeatable, Recorded, Scores, read_scores
from fr_evaluation.verification.run import labels_sha256, read_pairs, run_verification
from fr_evaluation.verification.run import list_sha256 as pairs_sha256
from fr_evaluation.verification.sources import PairsToCompare
from fr_locales.messages import message

TOLERANCE = 1e-5  # how far numbers that are no counts may be apart. docs/evaluation.md says how far they were.

RELATIVE = 1e-3
"""The largest difference of numbers other than cosines, as a share of the recorded one: a rate may be tiny."""

# Where 0 was recorded: what rounding may leave of it.
_ROUNDING = 1e-12
# Whose values are cosines, wherever they stand in a path.
_COSINES = frozenset({"threshold", "similarity"})

# No figures: when, how long and on what it was measured; texts; and what is held against each other before the photos.
_NO_FIGURES = frozenset({"format", "kind", "notice", "measured_at", "dataset", "settings", "versions", "seconds"})

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure that is not what it was, as JSON then and now; "absent" where there is none."""

    path: str  # where it stands in report.json, such as "fnmr_at_fmr/0.01/threshold"; of scores.csv in words
    then: str
    now: str


@dataclass(frozen=True, slots=True)
class Repetition:
    """The outcome of a repeated measurement."""

    compared: int  # how many figures were compared
    different: tuple[Difference, ...]  # those that are not what they were
    notes: tuple[str, ...]  # what else is not as it was, such as the version of a library
    pairs: int | None  # similarities of scores.csv that were compared; None where there is none
    largest: float  # their largest difference

    @property
    def same(self) -> bool:
        """Return whether every figure is what it was."""
        return not self.different


def read_given(recorded: Recorded, root: Path, groups: Path | None = None) -> PairsToCompare | PeopleToSearch:
    """Read the lists of a report's data set in `root`, and make sure that they are those of the report.

    `groups` has labels of people, as of `read_pairs`. Raises `NotRepeatable` if the manifest, the list, or what is said
    of the people is not what it was, and `DatasetError` as `read_pairs` and `read_people`.
    """
    if recorded.kind == "verification":
        pairs = read_pairs(recorded.dataset, root, groups)
        _require_same_data(recorded, pairs.manifest, pairs_sha256(pairs))
        if labels_sha256(pairs.pairs) != recorded.labels_sha256:
            raise NotRepeatable(message("error.evaluation.what_said_people_rates"))
        return pairs
    people = read_people(recorded.dataset, root)
    chosen = open_set(people.people.people, recorded.settings.seed)
    _require_same_data(recorded, people.manifest, people_sha256(people, chosen))
    return people


def options_of(recorded: Recorded, device: str | None) -> EngineOptions:
    """Return how to run the models: as it was, on the device that ran them, or on another."""
    then = recorded.settings
    return EngineOptions(device or then.device, then.precision, then.detection, then.flip)


def require_same_model(recorded: Recorded, engine: Engine) -> None:
    """Raise `NotRepeatable` unless the engine holds the models of the report."""
    then = recorded.settings
    now = engine.pipeline.model
    wanted = (then.model, then.embedder_sha256, then.detector_sha256)
    if wanted != (str(now), now.sha256, engine.pack.detector.file.sha256):
        raise NotRepeatable(
            message(
                "error.evaluation.other_model",
                model=then.model,
                detector=then.detector_sha256[:12],
                now=str(now),
                own_detector=engine.pack.detector.file.sha256[:12],
                version=then.version,
                pack=then.pack,
            )
        )


def run_again(
    recorded: Recorded,
    engine: Engine,
    given: PairsToCompare | PeopleToSearch,
    *,
    workers: int,
    clock: Callable[[], datetime],
    on_progress: OnProgress,
) -> AnyReport:
    """Measure what the report measured; arguments and errors are those of `run_verification` and `run_identification`.

    Raises `NotRepeatable` if the engine holds other models.
    """
    require_same_model(recorded, engine)
    then = recorded.settings
    if isinstance(given, PairsToCompare):
        return run_verification(
            engine, given, flip=then.flip, seed=then.seed, workers=workers, clock=clock, on_progress=on_progress
        )
    return run_identification(
        engine,
        given,
        sizes=then.gallery_sizes,
        flip=then.flip,
        seed=then.seed,
        workers=workers,
        clock=clock,
        on_progress=on_progress,
    )


def hold_against(recorded: Recorded, report: AnyReport) -> Repetition:
    """Compare every figure of a new report with the recorded one, and every similarity where the old ones are there."""
    document = json.loads(json.dumps(report_keys(report)))
    then, now = dict(_figures(recorded.document)), dict(_figures(document))
    paths = list(dict.fromkeys((*then, *now)))
    different = [
        Difference(path, _shown(a), _shown(b))
        for path in paths
        if not _equal(a := then.get(path, _ABSENT), b := now.get(path, _ABSENT), _is_cosine(path))
    ]
    pairs, largest = None, 0.0
    if recorded.scores is not None:
        now_scores = read_scores(io.StringIO(scores_csv(report), newline=""), recorded.kind)
        pairs, largest, others = _compare_scores(recorded.scores, now_scores)
        different += others
    compared = sum({int, float} & {type(then.get(path)), type(now.get(path))} != set() for path in paths)
    return Repetition(compared, tuple(different), tuple(_notes(recorded, document)), pairs, largest)


def _require_same_data(recorded: Recorded, manifest: Manifest, list_sha256: str) -> None:
    name, version = recorded.dataset, recorded.settings.version
    if manifest.sha256 != recorded.manifest_sha256:
        raise NotRepeatable(
            message(
                "error.evaluation.other_manifest",
                name=name,
                found=manifest.sha256[:12],
                recorded=recorded.manifest_sha256[:12],
                version=version,
            )
        )
    if list_sha256 != recorded.list_sha256:
        raise NotRepeatable(
            message(
                "error.evaluation.other_list", name=name, found=list_sha256[:12], recorded=recorded.list_sha256[:12]
            )
        )


def _figures(document: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """(path, value) of everything that must be what it was."""
    yield from _leaves({name: value for name, value in document.items() if name not in _NO_FIGURES})
    for part, name in (("dataset", "photos"), ("dataset", "people"), ("settings", "threshold"), ("settings", "pick")):
        yield f"{part}/{name}", document[part].get(name, _ABSENT)


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    match value:
        case dict() if value:
            for name, inner in value.items():
                yield from _leaves(inner, f"{path}/{name}" if path else name)
        case list() if value:
            for number, inner in enumerate(value):
                yield from _leaves(inner, f"{path}/{number}")
        case _:
            yield path, value


def _is_cosine(path: str) -> bool:
    return not _COSINES.isdisjoint(path.split("/"))


def _equal(then: object, now: object, cosine: bool) -> bool:
    """Counts and words exactly; other numbers within `TOLERANCE`, unless they are cosines within `RELATIVE` too."""
    if isinstance(then, float) and isinstance(now, float):
        allowed = TOLERANCE if cosine else min(TOLERANCE, max(RELATIVE * abs(then), _ROUNDING))
        return abs(then - now) <= allowed
    return type(then) is type(now) and then == now


def _shown(value: object) -> str:
    return "absent" if value is _ABSENT else json.dumps(value, ensure_ascii=False)


def _compare_scores(then: Scores, now: Scores) -> tuple[int, float, list[Difference]]:
    """Return how many similarities were compared, their largest difference, and whether one is not what it was."""
    apart = [
        abs(a - b) for one in then.keys() & now.keys() if (a := then[one]) is not None and (b := now[one]) is not None
    ]
    ids = then.keys() | now.keys()
    unlike = sum(not _equal(then.get(one, _ABSENT), now.get(one, _ABSENT), cosine=True) for one in ids)
    recorded = sum(similarity is not None for similarity in then.values())
    different = [Difference("scores.csv", f"{recorded} similarities", f"{unlike} not as it was")] if unlike else []
    return len(apart), max(apart, default=0.0), different


def _notes(recorded: Recorded, document: Mapping[str, Any]) -> Iterator[str]:
    """Return what the figures were computed on, where it is not what it was."""
    then, now = _ground(recorded.document), _ground(document)
    for name in dict.fromkeys((*then, *now)):
        if then.get(name) != now.get(name):
            yield f"{name}: {then.get(name, 'absent')} then, {now.get(name, 'absent')} now"


def _ground(document: Mapping[str, Any]) -> dict[str, str]:
    settings = document["settings"]
    return {"fr-core": settings["version"], **{name: settings[name] for name in ("device", "runtime")}} | dict(
        document["versions"]
    )
