"""Reports of evaluations without models, and the small files that data sets are made of."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from fr_core.runtime.ticket import Ticket, hold
from fr_evaluation.identification.figures import IdentificationReport
from fr_evaluation.identification.run import read_people, run_identification
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.verification.run import read_pairs, run_verification
from fr_evaluation.verification.sources import PairsToCompare
from support.photos import engine

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def ignore(done: int, total: int) -> None:
    """A progress that nobody looks at."""


def verified(pairs: PairsToCompare) -> VerificationReport:
    return run_verification(engine(), pairs, flip=False, seed=1, workers=2, clock=lambda: NOW, on_progress=ignore)


def verified_set(name: str, root: Path) -> VerificationReport:
    return verified(read_pairs(name, root))


def identified(root: Path, sizes: Sequence[int] = (), seed: int = 1) -> IdentificationReport:
    return run_identification(
        engine(),
        read_people("people_folder", root),
        sizes=sizes,
        flip=False,
        seed=seed,
        workers=2,
        clock=lambda: NOW,
        on_progress=ignore,
    )


@contextmanager
def cancelled_call() -> Iterator[None]:
    ticket = Ticket()
    ticket.cancel()
    hold(ticket)
    try:
        yield
    finally:
        hold(Ticket())


def lay_out(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        write(root, name, text)
    return root


def touch(root: Path, *names: str) -> None:
    for name in names:
        write(root, name, "")


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path
