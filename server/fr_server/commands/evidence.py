"""`fr evidence verify`: checks the integrity and the signer of an evidence bundle, without the server."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fr_core import __version__
from fr_datasets.progress import waiting
from fr_files.reading import open_regular
from fr_locales.messages import Message, message
from fr_server.commands.audit import read_pem
from fr_server.commands.reporting import AsJson, CommandFailed, print_json, reporting

if TYPE_CHECKING:
    from fr_server.commands.evidence_footage import FootageFound
    from fr_trust.evidence.verify import Verified
    from fr_trust.evidence.verify_footage import FootageProbe


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="Bundle from `fr evidence export`.")],
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key",
            metavar="PEM",
            help="Public key of the expected signer, received separately from the bundle.",
        ),
    ] = None,
    audit_key: Annotated[
        Path | None,
        typer.Option(
            "--audit-key", metavar="PEM", help="Public key of the expected signer of its audit, received separately."
        ),
    ] = None,
    footage: Annotated[
        list[Path] | None,
        typer.Option(
            "--footage",
            metavar="VIDEO",
            help="Footage that probes were cut out of: extract each frame again and compare; may be repeated.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every byte of an evidence bundle. If a file is wrong, name the first one and exit with status 1.

    With --footage, the exit status is also 1 if a file is another one, or a frame is changed, shifted or missing.
    Without --public-key, the command uses the key in the bundle, which anyone could have put there.
    """
    with reporting(as_json):
        from fr_core.errors import EvidenceUnusable
        from fr_trust.evidence.verify import verify_bundle
        from fr_trust.evidence.verify_footage import footage_probes

        if file.is_dir():
            what = f"{file} is a folder. Give the original ZIP file: the command cannot check unpacked files."
            raise CommandFailed("FILE_UNREADABLE", what)
        expected, expected_audit = _text(public_key), _text(audit_key)
        if not _is_zip(file):
            what = "The file is not an evidence bundle. Name the ZIP file that `fr evidence export` wrote."
            raise CommandFailed("EVIDENCE_UNUSABLE", what)
        try:
            with waiting("Checking"):
                found = verify_bundle(file, expected, expected_audit)
                probes = list(footage_probes(file))
        except EvidenceUnusable as error:
            raise EvidenceUnusable(
                message("error.config.of_file", path=error.metadata["file"], what=error.finding), **error.metadata
            ) from error
        compared = _compared(probes, footage)
    if as_json:
        print_json({**asdict(found), **({} if compared is None else {"footage": asdict(compared)})})
    else:
        _print(found, probes, compared)
    if compared is not None and not compared.holds:
        raise typer.Exit(1)


def _is_zip(path: Path) -> bool:
    """Return true if a file has the first or the last header of a ZIP file; raises `OSError`."""
    with open_regular(path) as file:
        return file.read(4) == b"PK\3\4" or zipfile.is_zipfile(file)


def _compared(probes: Sequence[FootageProbe], footage: Sequence[Path] | None) -> FootageFound | None:
    if not footage:
        return None
    from fr_server.commands.evidence_footage import compare

    with waiting("Decoding the frames"):
        return compare(probes, footage)


def _print(found: Verified, probes: Sequence[FootageProbe], compared: FootageFound | None) -> None:
    for sentence in sentences(found):
        typer.echo(sentence)
    if compared is not None:
        from fr_server.commands.evidence_footage import sentences as of_footage

        for told in of_footage(compared):
            typer.echo(_printable(told))
    elif probes:
        typer.echo(_printable(_cited(probes)))


def _text(path: Path | None) -> str | None:
    return None if path is None else read_pem(path)


def sentences(found: Verified) -> Iterator[str]:
    """Yield the results of the check, and its limits, without anything that steers a terminal."""
    yield from map(_printable, _messages(found))


def _cited(probes: Sequence[FootageProbe]) -> Message:
    return message("evidence.footage_cited", examinations=message("evidence.count.examinations", count=len(probes)))


def _printable(told: Message) -> str:
    from fr_locales.rendering import render

    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in render(told))


def _messages(found: Verified) -> Iterator[Message]:
    files = message("evidence.count.files", count=found.files)
    own = message("evidence.count.examinations", count=found.examinations)
    case, purpose = found.case_reference, found.purpose
    yield message("evidence.intact", files=files, examinations=own, reference=case, purpose=purpose)
    if found.by_expected_key:
        yield message("evidence.by_given_key", key=found.key_id)
    else:
        yield message("evidence.by_own_key", key=found.key_id)
    made = _when(found.made_ms)
    yield message("evidence.made_by", principal=found.made_by, time=made, version=found.version)
    if found.unfinished:
        waiting = message("evidence.count.examinations", count=len(found.unfinished))
        yield message("evidence.not_concluded", examinations=waiting)
    yield from _audit_sentences(found)
    if found.page_compared:
        yield message("evidence.page_matches")
    else:
        yield message("evidence.page_not_compared", version=found.version, own=__version__)
    yield message("evidence.not_measured")
    yield message("evidence.not_proved")


def _audit_sentences(found: Verified) -> Iterator[Message]:
    audit = found.audit
    if audit is None:
        yield message("evidence.contains_no_audit")
        return
    records = message("evidence.count.records", count=audit.records)
    if audit.withheld:
        yield message("evidence.audit_intact", records=records, last=audit.seq)
        yield message("evidence.withheld", records=message("evidence.count.more_records", count=audit.withheld))
    else:
        yield message("evidence.audit_complete", records=records, last=audit.seq)
    if audit.by_expected_key:
        yield message("evidence.audit_by_given_key", key=audit.key_id)
    else:
        yield message("evidence.audit_by_own_key", key=audit.key_id)


def _when(milliseconds: int) -> str | Message:
    """Return the signer's time; the signer may have written an invalid one."""
    try:
        return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return message("evidence.invalid_time")
