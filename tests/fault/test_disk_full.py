"""The disk fills up: enrolments are refused while there is still room to search, to erase and to stay sound."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from fr_core.errors import FrError, StorageLow, StoreFailed
from fr_core.gallery.backup.verify import verify
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import RESERVE_BYTES, GalleryStore
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage.database import Database
from support.full_disk import Disk, small_disk
from support.ledger import GALLERY, KEY, MODEL, SIZE, embedding

THREADS = 4
PHOTO = bytes(range(256)) * 50


@pytest.fixture(params=["counted", "mounted"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    with small_disk(request.param, tmp_path / "disk") as made:
        yield made


def open_on(folder: Path, disk: Disk, reserve_bytes: int = RESERVE_BYTES) -> Galleries:
    galleries = Galleries(GalleryStore(folder, KEY, reserve_bytes=reserve_bytes, vfs=disk.vfs_name), index="numpy")
    galleries.load()
    return galleries


def enrol(galleries: Galleries, seed: int, photo: bytes | None) -> None:
    template = NewTemplate(embedding(seed), f"{seed:064x}", 0.5, photo)
    galleries.enrol(GALLERY, Enrolment(f"case-{seed}", template, "n" * 256))


def fill(galleries: Galleries, photo: bytes | None) -> tuple[list[int], list[FrError]]:
    def work(thread: int) -> tuple[list[int], FrError]:
        enrolled: list[int] = []
        for seed in range(thread, 100_000, THREADS):
            try:
                enrol(galleries, seed, photo)
            except (StorageLow, StoreFailed) as refusal:
                return enrolled, refusal
            enrolled.append(seed)
        raise AssertionError("the disk does not fill up")

    with ThreadPoolExecutor(THREADS) as pool:
        done = list(pool.map(work, range(THREADS)))
    return sorted(seed for seeds, _ in done for seed in seeds), [refusal for _, refusal in done]


def top_up(galleries: Galleries) -> None:
    """Enrol one after the other, without photos, until that is refused: what a group was refused may fit for one."""
    for seed in range(100_000, 200_000):
        try:
            enrol(galleries, seed, None)
        except StoreFailed:
            return
    raise AssertionError("the disk does not fill up")


def require_whole(galleries: Galleries, enrolled: list[int], photo: bytes | None) -> None:
    info = galleries.get(GALLERY)
    assert (info.subject_count, info.template_count) == (len(enrolled), len(enrolled))
    for seed in enrolled:
        best = galleries.search(GALLERY, embedding(seed), 1, 0.99).identification.candidates[0]
        assert (best.subject_id, best.above_threshold) == (f"case-{seed}", True)
    store = galleries._store
    assert isinstance(store, GalleryStore)
    verified = verify(cast(Database, store.database).folder.path, KEY)
    assert (verified.subjects, verified.templates) == (len(enrolled), len(enrolled))
    assert verified.photos == (0 if photo is None else len(enrolled))


@pytest.mark.parametrize("photo", [None, PHOTO], ids=["vectors", "photos"])
def test_below_the_mark_only_enrolments_are_refused(disk: Disk, tmp_path: Path, photo: bytes | None) -> None:
    with open_on(tmp_path / "disk" / "data", disk) as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE, keeps_photos=True)
        enrolled, refusals = fill(galleries, photo)
        assert len(enrolled) >= 2  # erased and kept below; how many fit depends on when the log is copied
        assert {type(refusal) for refusal in refusals} == {StorageLow}
        require_whole(galleries, enrolled, photo)
        for seed in enrolled[::2]:
            galleries.erase_subject(GALLERY, f"case-{seed}")
        enrolled = enrolled[1::2]
        require_whole(galleries, enrolled, photo)
    with open_on(tmp_path / "disk" / "data", disk) as galleries:
        require_whole(galleries, enrolled, photo)
        disk.make_room()
        for seed in range(1_000_000, 1_000_010):
            enrol(galleries, seed, photo)
            enrolled.append(seed)
        require_whole(galleries, enrolled, photo)
    with open_on(tmp_path / "disk" / "data", disk) as galleries:
        require_whole(galleries, enrolled, photo)


def test_control_without_a_mark_the_disk_fills_to_the_brim_and_nobody_can_be_erased(disk: Disk, tmp_path: Path) -> None:
    galleries = open_on(tmp_path / "disk" / "data", disk, reserve_bytes=-(2**30))
    galleries.create(GALLERY, "", MODEL, SIZE, keeps_photos=True)
    enrolled, refusals = fill(galleries, PHOTO)
    assert {type(refusal) for refusal in refusals} == {StoreFailed}
    require_whole(galleries, enrolled, PHOTO)  # what was refused was refused whole
    top_up(galleries)
    with pytest.raises(StoreFailed):
        galleries.erase_subject(GALLERY, f"case-{enrolled[0]}")
    disk.make_room()
    galleries.erase_subject(GALLERY, f"case-{enrolled[1]}")
    galleries.close()
