"""ChokePoint: sequences of cameras above doors as folders of frames, with the eyes of people in XML, and stills."""

from collections.abc import Mapping
from pathlib import Path
from xml.parsers import expat

from fr_datasets.errors import (
    DatasetMalformed,
    DatasetMissing,
    DatasetUnreadable,
    require_folder,
    require_inside,
    require_text,
)
from fr_datasets.manifests import load_manifest
from fr_datasets.people_folder import SUFFIXES
from fr_datasets.tables import listed_photo, open_list, quoted
from fr_datasets.values import LabelledFace, LabelledFrame, LabelledVideo, VideoSet
from fr_locales.messages import Message, message

_RATE = 30  # frames a second
# A box of a face is around a point between the eyes within so many distances of the eyes.
_REACH = 1.5
_MOST_PIXELS = 2**16


def videos(root: Path) -> VideoSet:
    """The sequences that `root`/groundtruth has as NAME.xml.

    Their frames are NUMBER.jpg in `root`/NAME, or, as the archives unpack, in `root`/SEQUENCE/NAME. Stills are
    `root`/Still/KIND/IDPERSON.JPG, such as Still/Neutral/ID0001.JPG; there may be none.
    """
    listed = sorted(require_folder(root / "groundtruth").glob("*.xml"))
    if not listed:
        raise DatasetMissing(message("error.dataset.no_labelled_videos", folder=root / "groundtruth"))
    found = tuple(LabelledVideo(path.stem, _GroundTruth(path, _folder_of(root, path.stem)).frames) for path in listed)
    return VideoSet("chokepoint", load_manifest("chokepoint").terms, _RATE, found, _stills(root))


def _folder_of(root: Path, name: str) -> Path:
    unpacked = root / name.rpartition("_")[0] / name
    return unpacked if unpacked.is_dir() else root / name


def _stills(root: Path) -> Mapping[str, tuple[Path, ...]]:
    found: dict[str, list[Path]] = {}
    for path in sorted((root / "Still").glob("*/ID*")):
        if path.suffix.lower() in SUFFIXES:
            found.setdefault(path.stem.removeprefix("ID"), []).append(require_inside(require_text(path), root))
    return {person: tuple(photos) for person, photos in found.items()}


class _GroundTruth:
    """Reads `<frame number=""><person id=""><leftEye x="" y=""/><rightEye x="" y=""/></person></frame>`.

    Entities are refused, since they may stand for endless texts.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self._path, self._folder = path, folder
        self._frames: list[LabelledFrame] = []
        self._number: str | None = None  # of the frame that is open, as it is written
        self._person = ""
        self._eyes: dict[str, tuple[float, float]] = {}
        self._faces: list[LabelledFace] = []
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._begin, self._end
        self._parser.EntityDeclHandler = self._entity
        with open_list(path) as file:
            try:
                self._parser.ParseFile(file)
            except expat.ExpatError as error:
                raise DatasetMalformed(path, error.lineno, message("error.dataset.no_xml")) from error
            except OSError as error:
                reason = str(error.strerror)
                raise DatasetUnreadable(message("error.dataset.unreadable", path=path, reason=reason)) from error
        if not self._frames:
            raise DatasetMalformed(path, 1, message("error.dataset.list_empty"))

    @property
    def frames(self) -> tuple[LabelledFrame, ...]:
        """All frames, also those without a face."""
        return tuple(self._frames)

    def _begin(self, tag: str, said: Mapping[str, str]) -> None:
        match tag:
            case "frame":
                self._number, self._faces = said.get("number", ""), []
            case "person":
                self._person, self._eyes = said.get("id", ""), {}
            case "leftEye" | "rightEye":
                self._eyes[tag] = self._coordinate(said.get("x", "")), self._coordinate(said.get("y", ""))

    def _end(self, tag: str) -> None:
        if tag == "person":
            if not self._person or len(self._eyes) != 2:
                raise self._malformed(message("error.dataset.person_without_eyes"))
            (x, y), (other_x, other_y) = self._eyes["leftEye"], self._eyes["rightEye"]
            apart = max(abs(x - other_x), abs(y - other_y), 1.0)
            self._faces.append(LabelledFace(self._person, (x + other_x) / 2, (y + other_y) / 2, _REACH * apart))
        elif tag == "frame":
            self._add_frame(self._number or "")

    def _add_frame(self, number: str) -> None:
        if not (number.isascii() and number.isdigit() and len(number) <= 9):
            raise self._malformed(message("error.dataset.frame_without_number"))
        if self._frames and self._frames[-1].number >= int(number):
            raise self._malformed(message("error.dataset.frames_out_of_order"))
        photo = listed_photo(self._folder, f"{number}.jpg", self._path, self._line)
        self._frames.append(LabelledFrame(photo, int(number), tuple(self._faces)))

    def _coordinate(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= _MOST_PIXELS:
            raise self._malformed(message("error.dataset.no_coordinate", quoted=quoted(text)))
        return value

    @property
    def _line(self) -> int:
        return self._parser.CurrentLineNumber

    def _entity(self, *_: object) -> None:
        raise self._malformed(message("error.dataset.xml_entity"))

    def _malformed(self, what: Message) -> DatasetMalformed:
        return DatasetMalformed(self._path, self._line, what)
