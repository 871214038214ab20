"""YouTube Faces: videos as folders of frames, with one labelled face in each, and pairs of videos in ten folds."""

from collections.abc import Iterator
from pathlib import Path

from fr_datasets.errors import DatasetMalformed, DatasetMissing
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import choose_folder, listed_photo, quoted, read_filled_lines, whole_number
from fr_datasets.values import LabelledFace, LabelledFrame, LabelledVideo, VideoSet
from fr_locales.messages import message

FOLDERS = ("frame_images_DB",)
# The lists of pairs: the corrected one, and the first one.
SPLITS = ("splits_corrected.txt", "splits.txt")
_LABELS = ".labeled_faces.txt"
_RATE = 24  # frames a second, to which the videos were brought
_FIELDS = "file,ignored,x,y,width,height,ignored,ignored"


def videos(root: Path) -> VideoSet:
    """The videos of `root`/frame_images_DB or `root`, and the pairs of SPLITS where `root` has such a list.

    PERSON.labeled_faces.txt has the lines "PERSON\\VIDEO\\VIDEO.FRAME.jpg,ignored,x,y,width,height,ignored,ignored", of
    which x, y are the middle of the face; the frames of a video are in their order.
    """
    folder = choose_folder(root, FOLDERS)
    lists = sorted(path for path in folder.iterdir() if path.name.endswith(_LABELS))
    if not lists:
        raise DatasetMissing(message("error.dataset.no_labelled_videos", folder=folder))
    found = tuple(video for path in lists for video in _videos_of(path, folder))
    pairs = next((root / name for name in SPLITS if (root / name).is_file()), None)
    listed = None if pairs is None else tuple(_pairs(pairs, {video.name for video in found}))
    return VideoSet("youtube_faces", load_manifest("youtube_faces").terms, _RATE, found, pairs=listed)


def _videos_of(path: Path, folder: Path) -> Iterator[LabelledVideo]:
    person = path.name.removesuffix(_LABELS)
    frames: dict[str, list[LabelledFrame]] = {}
    for line, text in enumerate(read_filled_lines(path), 1):
        fields = text.split(",")
        if len(fields) != len(_FIELDS.split(",")):
            raise DatasetMalformed(path, line, message("error.dataset.fields", form=_FIELDS, fields=len(fields)))
        name = fields[0].replace("\\", "/")
        photo = listed_photo(folder, name, path, line)
        x, y, wide, high = (whole_number(path, line, field) for field in fields[2:6])
        frame = LabelledFrame(photo, _number_of(name, path, line), (LabelledFace(person, x, y, max(wide, high) / 2),))
        own = frames.setdefault(f"{person}/{photo.parent.name}", [])
        if own and own[-1].number >= frame.number:
            raise DatasetMalformed(path, line, message("error.dataset.frames_out_of_order"))
        own.append(frame)
    for name, listed in frames.items():
        yield LabelledVideo(name, tuple(listed))


def _number_of(name: str, path: Path, line: int) -> int:
    """Return the number of a frame of the name VIDEO.FRAME.jpg."""
    return whole_number(path, line, name.rpartition("/")[2].removesuffix(".jpg").rpartition(".")[2])


def _pairs(path: Path, known: set[str]) -> Iterator[tuple[str, str, int]]:
    """Yield the videos and the fold of each line "split, pair, video, video, similarity, same" after the header."""
    for line, text in enumerate(read_filled_lines(path), 1):
        fields = [field.strip() for field in text.split(",")]
        if len(fields) != 6:
            form = "split,pair,video,video,similarity,same"
            raise DatasetMalformed(path, line, message("error.dataset.fields", form=form, fields=len(fields)))
        if line == 1:
            continue
        fold, (one, other), same = whole_number(path, line, fields[0]), fields[2:4], fields[5]
        for name in (one, other):
            if name not in known:
                raise DatasetMalformed(path, line, message("error.dataset.no_such_video", name=quoted(name)))
        if same not in ("0", "1"):
            raise DatasetMalformed(path, line, message("error.dataset.same_must", quoted=quoted(same)))
        if (same == "1") != (one.partition("/")[0] == other.partition("/")[0]):
            raise DatasetMalformed(path, line, message("error.dataset.same_contradicts_identities"))
        yield one, other, fold
