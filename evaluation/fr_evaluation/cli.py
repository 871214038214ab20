"""`fr evaluate verification` and `identification`: a data set of your own, to a report.

Heavy imports wait until a command runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from fr_datasets.exit_status import printable
from fr_evaluation.cli_parts import (
    NOT_MADE,
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
    plain,
    print_words,
    require_writable,
    root_of,
    workers_of,
    write_files,
)
from fr_evaluation.report import LARGEST_GALLERY, MOST_DIGITS

if TYPE_CHECKING:
    from fr_evaluation.files import AnyReport
    from fr_evaluation.repeat import Repetition
    from fr_evaluation.words import Section, Text

DIFFERENT = 1
MOST_ROWS = 50


def repeat(
    report: Annotated[Path, typer.Argument(metavar="REPORT", help="report.json, or the folder that holds it.")],
    root: Root = None,
    groups: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", resolve_path=True, help="The labels of people that the report was made with."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Another device than the report's [default: the one that ran its models]")
    ] = None,
    threads: Threads = 0,
    out: Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure again what a report measured, with its settings, and hold every figure against it.

    Exit status 0: the same numbers; 1: not the same; 2: it cannot be repeated here.
    """
    with errors_to_stderr():
        from fr_evaluation.recorded import find_report, read_recorded
        from fr_evaluation.repeat import RELATIVE, TOLERANCE, hold_against, options_of, read_given, run_again

        recorded = read_recorded(report)
        if out is not None and out.resolve() == find_report(report).parent.resolve():
            typer.echo("The report that is repeated lies there: say another folder with --out.", err=True)
            raise typer.Exit(NOT_MADE)
        require_writable(out)
        given = read_given(recorded, root_of(recorded.dataset, root), groups)
        then, options = recorded.settings, options_of(recorded, device)
        with opened(then.pack, options, then.images, then.quality) as engine, photo_progress() as on_progress:
            measured = run_again(
                recorded, engine, given, workers=workers_of(threads, engine), clock=now, on_progress=on_progress
            )
        repetition = hold_against(recorded, measured)
        if out is not None:
            write_files(measured, out)
    if as_json:
        tolerances = {"tolerance": TOLERANCE, "relative_tolerance": RELATIVE}
        keys = {"same": repetition.same, **tolerances, **asdict(repetition)}
        typer.echo(json.dumps(keys, indent=2, ensure_ascii=False))
    else:
        print_repetition(repetition)
    if not repetition.same:
        raise typer.Exit(DIFFERENT)


def print_repetition(repetition: Repetition) -> None:
    """Print what came of measuring again; of the figures that differ, 50 at most."""
    from fr_evaluation.repeat import RELATIVE, TOLERANCE

    console = Console()
    if repetition.different:
        table = Table(*(Column(name, overflow="fold") for name in ("Figure", "Then", "Now")))
        for one in repetition.different[:MOST_ROWS]:
            table.add_row(plain(one.path), plain(one.then), plain(one.now))
        console.print(table)
        if len(repetition.different) > MOST_ROWS:
            console.print(f"{len(repetition.different) - MOST_ROWS:,} more: --json tells all", highlight=False)
    for note in repetition.notes:
        console.print(f"Not as it was: {printable(note)}", highlight=False, markup=False, soft_wrap=True)
    if repetition.pairs is not None:
        similarities = f"{repetition.pairs:,} similarities compared, the largest difference {repetition.largest:.2g}"
        console.print(similarities, highlight=False, soft_wrap=True)
    verdict = "the same numbers" if repetition.same else f"not the same: {len(repetition.different):,} differ"
    rule = f"counts must be equal, other numbers within {TOLERANCE:g}, and rates within {RELATIVE:g} of themselves"
    console.print(f"{verdict}: {repetition.compared:,} figures compared ({rule})", highlight=False, soft_wrap=True)


def verification(
    dataset: Annotated[str, typer.Option(help="Data set with a list of pairs; `fr dataset list` shows the names.")],
    root: Root = None,
    out: Out = None,
    pack: Pack = "buffalo_s",
    device: Device = "auto",
    precision: Precision = "auto",
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
    precision: Precision = "auto",
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
    """The sizes of galleries, ascending; ends the command where one is not a number from 1 to `LARGEST_GALLERY`."""
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
