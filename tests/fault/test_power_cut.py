"""The power fails in the midst of changes, checkpoints and recoveries: what was acknowledged is there."""

import random
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fr_core.errors import StoreCorrupt, StoreFailed
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.values import GalleryUpdate
from fr_core.storage import log_copier
from support.counts import count
from support.ledger import GALLERY, HANDS, KEY, MODEL, SIZE, Hand, Ledger, judge
from support.power_cut import Image, PowerCut

CUTS = count("POWER_CUTS")

# Cuts of one run, the next of which begins with what one of them left.
CUTS_A_RUN = 50
MOST_WRITES_BETWEEN = 60
CHECKPOINT_FRAMES = 24  # frames of the log, instead of 4,096: checkpoints are as frequent as they are in months


@dataclass(slots=True)
class Outcome:
    cuts: int = 0
    in_a_checkpoint: int = 0
    torn: int = 0
    lost: int = 0
    risen: int = 0
    refused: int = 0
    syncs_refused: int = 0


@dataclass(slots=True)
class Cuts:
    """The files left by each cut of a run, with the changes acknowledged until then."""

    wanted: int
    ledger: Ledger
    taken: list[tuple[Image, Ledger]] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    def take(self, image: Image) -> None:
        # A thread that comes here holds the disk: nothing that is begun from now on can be in the image.
        if len(self.taken) < self.wanted:
            self.taken.append((image, self.ledger.copied()))
        if len(self.taken) == self.wanted:
            self.enough.set()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(log_copier, "_CHECKPOINT_FRAMES", CHECKPOINT_FRAMES)
    with Galleries.open(tmp_path / "data", key=KEY, index="numpy") as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE)
    return tmp_path / "data"


def run(folder: Path, cuts: Cuts, seed: int, synchronous: str, lies: bool, refuses: float) -> int:
    """Change a gallery from several threads until the power has failed often enough; returns how many syncs failed."""
    disk = PowerCut(random.Random(seed), MOST_WRITES_BETWEEN, cuts.take, folder, lies=lies)
    store = GalleryStore(folder, KEY, vfs=disk.vfs_name)
    store.database.writer.execute(f"PRAGMA synchronous = {synchronous}")
    with Galleries(store, index="numpy") as galleries:
        galleries.load()
        hands = [Hand(galleries, hand, seed, cuts.ledger) for hand in range(HANDS)]
        disk.refuse(refuses, refuses)

        def work(number: int) -> None:
            hand, refused = hands[number], 0
            while not cuts.enough.is_set():
                try:
                    hand.change()
                except StoreFailed as error:
                    wait_until_known(galleries, error)
                    cuts.ledger.refused(number, galleries)
                    refused += 1
                    hand = Hand(galleries, number, seed + 1_000 * refused, cuts.ledger)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(HANDS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        disk.refuse(0.0, 0.0)
    return disk.failures


def wait_until_known(galleries: Galleries, error: StoreFailed) -> None:
    """Change the gallery until the store has taken back the failed commit: until then it may be kept or not."""
    while "refused to undo it" in error.what:
        try:
            galleries.update(GALLERY, GalleryUpdate("again"))
        except StoreFailed as again:
            error = again
        else:
            return


def judge_image(image: Image, ledger: Ledger, folder: Path, outcome: Outcome) -> None:
    image.write(folder)
    outcome.cuts += 1
    outcome.in_a_checkpoint += image.checkpoint
    outcome.torn += image.torn
    try:
        with Galleries.open(folder, key=KEY, index="numpy") as galleries:
            verdict = judge(galleries, ledger)
    except StoreCorrupt:
        outcome.refused += 1
    else:
        outcome.lost += verdict.lost
        outcome.risen += verdict.risen
    shutil.rmtree(folder)


def cut_many(
    folder: Path, cuts: int, *, synchronous: str = "FULL", lies: bool = False, refuses: float = 0.0
) -> Outcome:
    outcome, ledger = Outcome(), Ledger()
    for seed in range(-(-cuts // CUTS_A_RUN)):
        of_run = Cuts(min(CUTS_A_RUN, cuts - outcome.cuts), ledger)
        outcome.syncs_refused += run(folder, of_run, seed, synchronous, lies, refuses)
        for image, at_cut in of_run.taken:
            judge_image(image, at_cut, folder.with_name("cut"), outcome)
        if outcome.lost or outcome.risen or outcome.refused:
            break
        image, ledger = random.Random(seed).choice(of_run.taken)
        shutil.rmtree(folder)
        image.write(folder)
    return outcome


def test_a_power_cut_takes_nothing_that_was_acknowledged(folder: Path) -> None:
    outcome = cut_many(folder, CUTS)
    print(f"the power failed: {outcome}")  # noqa: T201 - the figures of the long run
    assert outcome.cuts == CUTS
    assert (outcome.lost, outcome.risen, outcome.refused) == (0, 0, 0)
    assert outcome.in_a_checkpoint > CUTS / 20
    assert outcome.torn > CUTS / 20


def test_power_cuts_after_failed_syncs_take_and_give_nothing(folder: Path) -> None:
    """Of a commit or a checkpoint; what is left of them in the log is taken for no loss."""
    outcome = cut_many(folder, CUTS, refuses=0.3)
    print(f"the power failed: {outcome}")  # noqa: T201 - the figures of the long run
    assert outcome.cuts == CUTS
    assert (outcome.lost, outcome.risen, outcome.refused) == (0, 0, 0)
    assert outcome.syncs_refused > CUTS / 4


@pytest.mark.nightly
def test_control_a_commit_that_is_not_synced_is_lost(folder: Path) -> None:
    outcome = cut_many(folder, CUTS_A_RUN, synchronous="NORMAL")
    assert outcome.lost + outcome.risen > 0


@pytest.mark.nightly
def test_control_where_the_disk_lies_about_its_syncs_the_store_is_damaged(folder: Path) -> None:
    outcome = cut_many(folder, CUTS_A_RUN, lies=True)
    assert outcome.lost + outcome.risen > 0
    assert outcome.refused > 0


def test_what_an_erasure_did_is_durable_when_it_is_acknowledged(folder: Path) -> None:
    """Control: without the sync of the truncated log, its end, with the id of who was erased, can come back."""
    disk = PowerCut(random.Random(1), 10**9, lambda image: None, folder)
    with Galleries(GalleryStore(folder, KEY, vfs=disk.vfs_name), index="numpy") as galleries:
        galleries.load()
        hand = Hand(galleries, 0, 1, Ledger())
        for _ in range(20):
            hand.change()
        (subject, *_) = galleries.subjects(GALLERY).items
        galleries.erase_subject(GALLERY, subject.subject_id)
        assert disk.unsynced == set()
