"""`fr evaluate verification` on videos: a photo against a track, whose frames of one second count once."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from fr_datasets.errors import DatasetError
from fr_evaluation.files import report_keys
from fr_evaluation.verification.run import read_pairs
from support.evaluations import verified_set
from support.photos import face
from support.videos import draw_chokepoint, draw_youtube_faces


def names(name: str, root: Path) -> list[tuple[str, str, bool]]:
    pairs = read_pairs(name, root).pairs.pairs
    return [(one.a.relative_to(root).as_posix(), one.b.relative_to(root).as_posix(), one.mated) for one in pairs]


def test_the_pairs_of_videos_that_a_set_lists_are_a_best_shot_and_a_track(tmp_path: Path) -> None:
    root = draw_youtube_faces(tmp_path / "set")
    assert names("youtube_faces", root) == [
        ("best_shots/Ada/0/Ada", "tracks/Ada/1/Ada", True),
        ("best_shots/Ada/0/Ada", "tracks/Bo/0/Bo", False),
        ("best_shots/Bo/0/Bo", "tracks/Bo/1/Bo", True),
    ]
    report = verified_set("youtube_faces", root)
    keys = report_keys(report)
    assert keys["pairs"] == {"mated": 2, "nonmated": 1, "mated_failures": 0, "nonmated_failures": 0}
    assert report.compared.mated_similarities.tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    assert report.compared.folds.tolist() == [1, 2, 1]
    assert "tracks: weighted mean of the best of each second" in keys["settings"]["pick"]
    # 30 frames of 24 a second are looked at five times a second.
    assert keys["dataset"]["photos"] == 5 * 6


def test_stills_are_compared_with_the_tracks_of_each_sequence(tmp_path: Path) -> None:
    root = draw_chokepoint(tmp_path / "set", {"0001": 10, "0002": 90, "0003": 200})
    found = names("chokepoint", root)
    assert found[:2] == [
        ("Still/Neutral/ID0001.JPG", "tracks/P1E_S1_C1/0001", True),
        ("Still/Neutral/ID0001.JPG", "tracks/P1E_S1_C2/0001", True),
    ]
    assert (len(found), sum(mated for *_, mated in found)) == (12, 6)
    report = verified_set("chokepoint", root)
    assert report.compared.mated_similarities.min() > 0.99 > report.compared.nonmated_similarities.max()
    assert report.calibration is not None
    assert report.calibration.rates.mated == 6  # tracks, not frames
    assert report.calibration.provenance.settings["pick"] == report.settings.pick


def test_without_stills_the_best_shot_of_the_first_video_stands_for_a_photo(tmp_path: Path) -> None:
    root = draw_chokepoint(tmp_path / "set", stills=False)
    assert names("chokepoint", root) == [
        ("best_shots/P1E_S1_C1/0001", "tracks/P1E_S1_C2/0001", True),
        ("best_shots/P1E_S1_C1/0002", "tracks/P1E_S1_C2/0002", True),
        ("best_shots/P1E_S1_C1/0001", "tracks/P1E_S1_C2/0002", False),
        ("best_shots/P1E_S1_C1/0002", "tracks/P1E_S1_C2/0001", False),
    ]


def best_face(path: Path) -> None:
    """Draw a square of the person of colour 10 that is sharper, and so better, than those of `face`."""
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[60:140, 110:190] = (255, 0, 10)
    PIL.Image.fromarray(pixels).save(path, format="PNG")


def test_more_frames_of_a_second_make_no_track_more_certain(tmp_path: Path) -> None:
    root = draw_youtube_faces(tmp_path / "set")
    frames = root / "frame_images_DB" / "Ada" / "1"
    best_face(frames / "1.1.jpg")

    def similarity() -> float:
        return float(verified_set("youtube_faces", root).compared.similarities[0])

    alone = similarity()
    for number in (6, 11, 16, 21):  # those of the first second that are looked at besides the first
        face(frames / f"1.{number}.jpg", 77)
    assert similarity() == pytest.approx(alone)
    face(frames / "1.26.jpg", 77)  # the control: the next second counts
    assert abs(similarity() - alone) > 0.01


def test_a_track_without_a_face_that_fits_its_label_fails_its_pairs(tmp_path: Path) -> None:
    root = draw_youtube_faces(tmp_path / "set")
    for path in (root / "frame_images_DB" / "Ada" / "1").iterdir():
        face(path, None)
    keys = report_keys(verified_set("youtube_faces", root))
    assert keys["pairs"]["mated_failures"] == 1
    assert keys["failure_reasons"] == {"NO_FACE": 1}
    labels = root / "frame_images_DB" / "Bo.labeled_faces.txt"
    labels.write_text(labels.read_text().replace(",150,100,100,100,", ",40,100,20,20,"))
    assert report_keys(verified_set("youtube_faces", root))["pairs"]["mated_failures"] == 2


def test_a_set_without_a_pair_of_one_person_is_refused(tmp_path: Path) -> None:
    root = draw_youtube_faces(tmp_path / "set", people={"Ada": (10,), "Bo": (90,)}, pairs=())
    with pytest.raises(DatasetError, match="two photos"):
        read_pairs("youtube_faces", root)
