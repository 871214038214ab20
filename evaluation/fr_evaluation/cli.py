"""`fr evaluate verification` and `identification`: a data set of your own, to a report.

Heavy imports wait until a command runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fr_evaluation.cli_parts import (
    AsJson,
    Detection,
    Device,
    Flip,
    Out,
    Pack,
    Precision,
    Root,
    Threads,
    Thumbnails,
    errors_to_stderr,
    now,
    opened,
    photo_progress,
    print_words,
    require_writable,
    root_of,
    workers_of,
    write_files,
)
from fr_evaluation.kinds import LARGEST_GALLERY, MOST_DIGITS

if TYPE_CHECKING:
    from fr_evaluation.files import AnyReport
    from fr_evaluation.words import Section, Text


def verification(
    dataset: Annotated[str, typer.Option(help="Data set with a list of pairs; `fr dataset list` shows the names.")],
    root: Root = None,
    out: Out = None,
    pack: Pack = "buffalo_s",
    device: Device = "auto",
    precision: Precision = "f32",
    detection: Detection = "thorough",
    flip: Flip = False,
    threads: Threads = 0,
    groups: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", resolve_path=True, help="Labels of people: identity, then a column for each label."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws behind the intervals by people.")] = 1,
    thumbnails: Thumbnails = None,
    as_json: AsJson = False,
) -> None:
    """Measure how a model errs on pairs of photos with known answers: accuracy, error rates and thresholds.

    Exit status 2 if it cannot be measured.
    """
    with errors_to_stderr():
        from fr_core.engine import EngineOptions
        from fr_evaluation.verification import words
        from fr_evaluation.verification.run import read_pairs, run_verification

        require_writable(out)
        options = EngineOptions(device, precision, detection, flip)
        pairs = read_pairs(dataset, root_of(dataset, root), groups)
        with opened(pack, options) as engine, photo_progress() as on_progress:
            report = run_verification(
                engine,
                pairs,
                flip=flip,
                seed=seed,
                workers=workers_of(threads, engine),
                clock=now,
                on_progress=on_progress,
            )
        _tell(report, out, as_json, lambda: (words.summary(report), words.sections(report)), thumbnails)


def identification(
    dataset: Annotated[str, typer.Option(help="Data set of people; `fr dataset list` shows the names.")],
    root: Root = None,
    out: Out = None,
    sizes: Annotated[
        str, typer.Option(metavar="N,N,...", help="Galleries to fill up with drawn strangers, such as 10000,1000000.")
    ] = "",
    pack: Pack = "buffalo_s",
    device: Device = "auto",
    precision: Precision = "f32",
    detection: Detection = "thorough",
    flip: Flip = False,
    threads: Threads = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 1,
    thumbnails: Thumbnails = None,
    as_json: AsJson = False,
) -> None:
    """Enrol half of a set's people and search for the photos of all others: hits, false alarms and misses.

    Exit status 2 if it cannot be measured.
    """
    galleries = _sizes(sizes)
    with errors_to_stderr():
        from fr_core.engine import EngineOptions
        from fr_evaluation.identification import words
        from fr_evaluation.identification.run import read_people, run_identification

        require_writable(out)
        options = EngineOptions(device, precision, detection, flip)
        people = read_people(dataset, root_of(dataset, root))
        with opened(pack, options) as engine, photo_progress() as on_progress:
            report = run_identification(
                engine,
                people,
                sizes=galleries,
                flip=flip,
                seed=seed,
                workers=workers_of(threads, engine),
                clock=now,
                on_progress=on_progress,
            )
        _tell(report, out, as_json, lambda: (words.summary(report), words.sections(report)), thumbnails)


def _sizes(text: str) -> list[int]:
    """The sizes of galleries, ascending; ends the command where one is no number from 1 to `LARGEST_GALLERY`."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(
        part.isascii() and part.isdigit() and len(part) <= MOST_DIGITS and 1 <= int(part) <= LARGEST_GALLERY
        for part in parts
    ):
        what = f"Sizes are whole numbers from 1 to {LARGEST_GALLERY}, such as 10000,1000000."
        raise typer.BadParameter(what, param_hint="--sizes")
    return sorted({int(part) for part in parts})


def _tell(
    report: AnyReport,
    out: Path | None,
    as_json: bool,
    in_words: Callable[[], tuple[Text, Sequence[Section]]],
    thumbnails: bool | None,
) -> None:
    """Write the files where they are wanted, and print the report."""
    from fr_evaluation.files import report_json
    from fr_evaluation.report import NOTICE

    if out is not None:
        write_files(report, out, thumbnails)
    if as_json:
        typer.echo(report_json(report))
        return
    print_words(*in_words(), NOTICE)
