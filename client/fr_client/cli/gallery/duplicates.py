"""`fr gallery duplicate list` and `fr gallery cluster`: find people who may be in a gallery more than once."""

import csv
import io
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from fr_api.v1 import gallery_pb2
from fr_client.cli.files import require_replaceable, writing
from fr_client.cli.progress import progress
from fr_client.cli.show import console, counted, plain, print_line, shown, table
from fr_client.cli.state import ForCase, ForPurpose, GalleryId, connected
from fr_client.private import private_file
from fr_client.sync.client import Client
from fr_client.unpack import message_keys

AsLines = Annotated[bool, typer.Option("--json", help="Print one JSON document on each line instead of text.")]

# The answers have no error rate for the threshold.
_LOOK = "may show different people, the more so in a large gallery: an examiner must look at both photos."
# Subjects of a cluster in its line of the table.
_NAMED = 6
_COLUMNS = ("cluster", "size", "cohesion", "template_id", "subject_id", "similarity")


duplicate = typer.Typer(help="Find people who may be in a gallery more than once.", no_args_is_help=True)


@duplicate.command("list")
def list_duplicates(
    context: typer.Context,
    gallery_id: GalleryId,
    threshold: Annotated[
        float | None, typer.Option(min=-1.0, max=1.0, help="Least similarity of a pair; the model's default if unset.")
    ] = None,
    purpose: ForPurpose = None,
    case: ForCase = "",
    as_lines: AsLines = False,
) -> None:
    """Find subjects of a gallery that may be the same person: leads for a human examiner.

    Prints pairs of templates at once, and the pairs of subjects at the end, the most similar first.
    """
    with connected(context, as_lines, lines=True) as client:
        best: dict[tuple[str, str], _SubjectPair] = {}
        reached = gallery_pb2.ScanProgress()
        answers = client.find_duplicates(gallery_id, threshold=threshold, purpose=purpose, case_reference=case)
        with closing(_found(client, gallery_id, answers, "pair", reached, as_lines)) as pairs:
            for pair in pairs:
                if not as_lines:
                    a, b = f"{pair.subject_a} ({pair.template_a})", f"{pair.subject_b} ({pair.template_b})"
                    console().print(plain(f"{pair.similarity:.4f}  {a}  {b}"))
                    _note(best, pair)
        if not as_lines:
            _print_pairs(list(best.values()), reached)


def cluster(
    context: typer.Context,
    gallery_id: GalleryId,
    threshold: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Least mean similarity in a cluster; the model's default if unset."),
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a line for each template here.")
    ] = None,
    purpose: ForPurpose = None,
    case: ForCase = "",
    as_lines: AsLines = False,
) -> None:
    """Group similar templates of a gallery, regardless of their subjects: leads, never identities.

    For photos of unknown people: enrol each as a subject of its own, then see which may show one person.
    """
    with connected(context, as_lines, lines=True) as client, _csv(target) as rows:
        several: list[_ClusterLine] = []
        singles = 0
        reached = gallery_pb2.ScanProgress()
        answers = client.cluster_gallery(gallery_id, threshold=threshold, purpose=purpose, case_reference=case)
        with closing(_found(client, gallery_id, answers, "cluster", reached, as_lines)) as clusters:
            for found in clusters:
                rows(found)
                singles += found.size == 1
                if found.size > 1:
                    _note_cluster(several, found)
        if not as_lines:
            _print_clusters(several, singles, reached)
            if target is not None:
                console().print(plain(f"{shown(target)}: {counted(reached.total, 'template')}."))


@dataclass(slots=True)
class _SubjectPair:
    """Two subjects, their best pair of templates, and the number of pairs that reach the threshold."""

    subjects: tuple[str, str]
    similarity: float
    templates: tuple[int, int]
    count: int = 1


def _note(best: dict[tuple[str, str], _SubjectPair], pair: gallery_pb2.DuplicatePair) -> None:
    a, b = (pair.subject_a, pair.template_a), (pair.subject_b, pair.template_b)
    (first, template), (second, other) = sorted((a, b))
    known = best.get((first, second))
    if known is None:
        best[first, second] = _SubjectPair((first, second), pair.similarity, (template, other))
        return
    known.count += 1
    if pair.similarity > known.similarity:
        known.similarity, known.templates = pair.similarity, (template, other)


def _print_pairs(best: list[_SubjectPair], reached: gallery_pb2.ScanProgress) -> None:
    out = console()
    rows = table("Similarity", "Subject", "Subject", "Templates", "Pairs", right=("Similarity", "Pairs"))
    for one in sorted(best, key=lambda pair: (-pair.similarity, pair.subjects)):
        templates = f"{one.templates[0]}, {one.templates[1]}"
        rows.add_row(f"{one.similarity:.4f}", *map(plain, one.subjects), templates, str(one.count))
    if best:
        out.print(rows)
    what = f"{counted(len(best), 'pair')} of subjects" if best else "No two subjects"
    verb, among = "reaches" if len(best) == 1 else "reach", counted(reached.total, "template")
    out.print(plain(f"{what} {verb} {reached.threshold:.4f} among {among}."), style="bold")
    out.print(plain(_how(reached)))
    if best:
        out.print(plain(f"Pairs that reach the threshold {_LOOK}"))
    out.print(plain(reached.notice), style="italic")


@dataclass(slots=True)
class _ClusterLine:
    number: int
    size: int
    cohesion: float
    subjects: list[str]


def _note_cluster(several: list[_ClusterLine], found: gallery_pb2.Cluster) -> None:
    if several and several[-1].number == found.number:  # another part of the same
        return
    subjects = list(dict.fromkeys(member.subject_id for member in found.members))
    several.append(_ClusterLine(found.number, found.size, found.cohesion, subjects[: _NAMED + 1]))


def _print_clusters(several: Sequence[_ClusterLine], singles: int, reached: gallery_pb2.ScanProgress) -> None:
    out = console()
    rows = table("Cluster", "Templates", "Cohesion", "Subjects", right=("Cluster", "Templates", "Cohesion"))
    for one in sorted(several, key=lambda line: (-line.size, line.number)):
        names = ", ".join(one.subjects[:_NAMED]) + (", ..." if len(one.subjects) > _NAMED else "")
        rows.add_row(str(one.number), str(one.size), f"{one.cohesion:.4f}", plain(names))
    if several:
        out.print(rows)
    alone = f"{counted(singles, 'template')} without a similar one"
    grouped = f"{counted(len(several), 'cluster')} of several templates, {alone}"
    out.print(plain(f"{grouped}, at threshold {reached.threshold:.4f}."), style="bold")
    out.print(plain(f"A cluster is a lead, not an identity. {_how(reached)}"))
    if several:
        out.print(plain(f"Any two of a cluster {_LOOK}"))
    out.print(plain(reached.notice), style="italic")


def _how(reached: gallery_pb2.ScanProgress) -> str:
    if reached.exhaustive:
        return "The server compared each template exactly with every other."
    return "The server compared each template exactly with those that a first scan picked."


def _found(
    client: Client,
    gallery_id: str,
    answers: Iterable[gallery_pb2.FindDuplicatesResponse | gallery_pb2.ClusterGalleryResponse],
    event: str,
    reached: gallery_pb2.ScanProgress,
    as_lines: bool,
) -> Generator[Any]:
    """Yield what a scan finds; show its progress on standard error, and keep the last of it in `reached`."""
    total = client.get_gallery(gallery_id).template_count
    with progress("Searching", "templates", total, beside_output=True) as advance:
        for answer in answers:
            if as_lines:
                print_line(message_keys(answer))
            if answer.WhichOneof("event") == "progress":
                reached.CopyFrom(answer.progress)
                advance(reached.searched, 0)
            else:
                yield getattr(answer, event)


@contextmanager
def _csv(target: Path | None) -> Iterator[Callable[[gallery_pb2.Cluster], None]]:
    if target is None:
        yield lambda found: None
        return
    require_replaceable(target, _COLUMNS)
    with writing(target), _opened(target) as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)

        def write(found: gallery_pb2.Cluster) -> None:
            cohesion = f"{found.cohesion:.6f}" if found.HasField("cohesion") else ""
            for one in found.members:
                of_member = (one.template_id, one.subject_id, f"{one.similarity:.6f}")
                writer.writerow((found.number, found.size, cohesion, *of_member))

        yield write


@contextmanager
def _opened(target: Path) -> Iterator[TextIO]:
    if target.exists() and not target.is_file():  # a pipe or a terminal already has its owner
        with target.open("w", newline="", encoding="utf-8") as file:
            yield file
        return
    with private_file(target, replace=True) as binary:
        file = io.TextIOWrapper(binary, "utf-8", newline="")
        try:
            yield file
        finally:
            file.detach()  # and writes its buffer
