"""Bad input as people type it: the documented exit status, one sentence with a remedy, and no file is changed."""

import io
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from fr_client import Client
from support.cli import fr_at
from support.servers import Running, photo, running

FILM = io.BytesIO()
Image.new("L", (64, 64)).save(FILM, "PNG", save_all=True, append_images=[Image.new("L", (64, 64), 255)])

FILES = {
    "a.png": photo(1),
    "two.png": photo(1, 2),
    "none.png": photo(),
    "empty.png": b"",
    "text.jpg": b"no photo",
    "cut.png": photo(1)[:-40],
    "old.gif": b"GIF89a" + bytes(20),
    "film.png": FILM.getvalue(),
    "large.png": b"\x89PNG" + bytes(8 * 2**20),
    "list.txt": b"missing.png\n",
    "empty.txt": b"\n\n",
    "people/ada/1.png": photo(1),
    "people.csv": b"subject_id,path\nada,people/ada/1.png\n",
    "bad.csv": b"name,file\nada,people/ada/1.png\n",
    "bad.toml": b"[sittings\n",
    "flat/1.png": photo(2),
    "diary": b"notes without an end",
    "nothing/.keep": b"",
}

# What is typed -> words of the sentence, with its remedy. Exit status 2: nothing was sent.
USAGE = {
    "serch g a.png": "No such command",
    "train delete-course c": "No such command",
    "server check-config": "No such command",
    "detect": "Name a photo, a folder of photos, or - for standard input",
    "detect a.png --brief --json": "It contradicts --json; give one of both.",
    "detect - -": "Standard input can be read once only; name - once.",
    "detect - --list -": "Standard input can be read once only; name - once.",
    "detect a.png --draw": "requires an argument",
    "search g": "Name a photo, a folder of photos, or - for standard input",
    "search": "Missing argument 'GALLERY'",
    "search g a.png --threshold 1.5": "Invalid value for '--threshold'",
    "search g a.png --threshold high": "Invalid value for '--threshold'",
    "search g a.png --top-k 0": "Invalid value for '--top-k'",
    "search g a.png --top-k many": "Invalid value for '--top-k'",
    "search g a.png --threshold 0.3 --target-fmr 0.01": "It contradicts --target-fmr; give one of both.",
    "search g a.png --target-fmr 2": "Invalid value for '--target-fmr'",
    "search g a.png --where list": "It is KEY=VALUE, such as list=missing.",
    "search g a.png --candidate-photos people": "It works only with --draw.",
    "search g a.png --several-faces both": "'both' is not one of",
    "search g a.png --purpose fun": "'fun' is not one of",
    "compare a.png": "Name the photo to compare A with, or a folder of photos; or give --list FILE.",
    "compare - -": "Standard input can be read once only; name - once.",
    "enrol g a.png": "a.png is a photo; name its subject before it, then the photo.",
    "enrol g a.png two.png": "a.png is a photo; name its subject before it.",
    "enrol g ada a.png --unnamed": "--unnamed takes one FOLDER.",
    "enrol g people --name Ada": "It works only with a subject and its photos.",
    "enrol g people --purpose gallery-maintenance": "--purpose and --case go together; give both.",
    "enrol g people --in-flight 0": "Invalid value for '--in-flight'",
    "gallery create": "Missing argument 'GALLERY'",
    "gallery create n --expires tomorrow": "does not match the formats",
    "gallery create n --retention-days 0": "Invalid value for '--retention-days'",
    "gallery update g": "There is nothing to change: give a name, an end or a retention.",
    "gallery update g --expires 2099-01-01 --no-expiry": "It contradicts --no-expiry; give one of both.",
    "gallery calibrate g": "Give one of FILE, --show and --remove.",
    "gallery import g a.npy rows.csv": "Missing option '--model'",
    "template delete g first": "Invalid value for 'TEMPLATE'",
    "train course create taster-90": "A course needs photos of people: give at least one.",
    "train cohort create c --trainees 0 --codes x.csv": "Invalid value for '--trainees'",
    "train report get --out x": "Give one of COHORT, --trainee and --code.",
    "report create identification lfw --sizes 0": "Sizes are whole numbers from 1 to 10000000",
    "key create --role boss": "'boss' is not one of",
    "--server localhost info": "'localhost' is not HOST:PORT, such as localhost:50061.",
    "--timeout 0 info": "Invalid value for '--timeout'",
    "--connection missing.toml info": "missing.toml cannot be read: No such file or directory.",
}

# What is typed -> the reason, and words of the sentence. Exit status 1.
REFUSED = {
    "detect missing.png": ("FILE_UNREADABLE", "missing.png cannot be read: No such file or directory."),
    "detect empty.png": ("FILE_UNREADABLE", "empty.png is empty; give the file of a photo."),
    "detect text.jpg": ("UNDECODABLE", "Send the complete bytes of one photo"),
    "detect cut.png": ("UNDECODABLE", "Send the complete bytes of one photo"),
    "detect old.gif": ("UNSUPPORTED_FORMAT", "Convert the photo"),
    "detect film.png": ("SEVERAL_FRAMES", "Send one frame as a separate photo"),
    "detect large.png": ("IMAGE_TOO_MANY_BYTES", "Send a smaller file: Pillow cannot read it here"),
    "detect large.png --no-downscale": ("IMAGE_TOO_MANY_BYTES", "the client does not scale this one down."),
    "compare a.png film.png": ("SEVERAL_FRAMES", "Second photo, film.png: "),
    "detect nothing": ("NO_PHOTOS", "nothing holds no photo. Name a folder with photos in it."),
    "detect --list missing.txt": ("FILE_UNREADABLE", "missing.txt cannot be read: No such file or directory."),
    "detect --list a.png": ("LIST_INVALID", "that is a text with the path of a photo a line."),
    "detect --list empty.txt": ("NO_PHOTOS", "Write the path of a photo in each line."),
    "detect -": ("FILE_UNREADABLE", "Standard input is empty; give the file of a photo."),
    "detect a.png --draw out.gif": ("PICTURE_UNWRITABLE", "out.gif must end in .png, .jpg or .webp."),
    "detect a.png --draw nowhere/out.png": ("PICTURE_UNWRITABLE", "its folder does not exist."),
    "detect a.png --draw a.png": ("PICTURE_UNWRITABLE", "is one of the photos themselves; choose another name."),
    "detect a.png two.png --draw people": ("FILE_EXISTS", "several photos need a new folder."),
    "compare a.png none.png": ("NO_FACE", "Send a photo in which a face can be seen from the front"),
    "search nowhere a.png": ("UNKNOWN_GALLERY", "Choose one of those that you may use, or create this one."),
    "search ../etc a.png": ("UNKNOWN_GALLERY", "Choose one of those that you may use, or create this one."),
    "search g none.png": ("NO_FACE", "Send a photo in which a face can be seen from the front"),
    "search g two.png": ("SEVERAL_FACES", "`fr search --several-faces all` searches each face."),
    "search g a.png --target-fmr 0.01": (
        "NO_CALIBRATION",
        "a calibration of the gallery also helps. `fr gallery calibrate` sets one.",
    ),
    "enrol g nowhere": (
        "FILE_UNREADABLE",
        "nowhere does not exist. Name a folder or a manifest; or the id of a subject, and its photos after it.",
    ),
    "enrol nowhere people": ("UNKNOWN_GALLERY", "With --create, this command creates it."),
    "enrol g flat": ("NO_PHOTOS", "A folder needs a folder for each subject with photos in it"),
    "enrol g bad.csv": ("MANIFEST_INVALID", "the header needs the column 'subject_id'"),
    "enrol g people --journal diary": ("JOURNAL_FOREIGN", "Name a new file, or a journal of this gallery."),
    "enrol g people --journal people.csv": ("JOURNAL_FOREIGN", "is another file, which stays as it is."),
    "enrol g people --refused people.csv": ("FILE_EXISTS", "stays as it is; choose another name."),
    "gallery create ../etc": ("INVALID_IDENTIFIER", "for a gallery a-z, 0-9, - and _."),
    "gallery create g": ("GALLERY_EXISTS", "Choose another id, or use the gallery that exists."),
    "gallery calibrate g people.csv": ("CALIBRATION_INVALID", "Take the calibration.json"),
    "gallery cluster g --csv people.csv": ("FILE_EXISTS", "stays as it is; choose another name."),
    "footage show nothing": (
        "UNKNOWN_VIDEO",
        "If this one has expired, send the file again. `fr footage list` lists them",
    ),
    "subject show g nobody": ("UNKNOWN_SUBJECT", "`fr subject list GALLERY` lists them."),
    "subject export g nobody out.zip": ("UNKNOWN_SUBJECT", "`fr subject list GALLERY` lists them."),
    "template delete g 99999 --yes": ("UNKNOWN_TEMPLATE", "`fr subject show GALLERY SUBJECT` shows them."),
    "train plan show nothing": ("UNKNOWN_PLAN", "`fr train plan list` lists them."),
    "train plan check bad.toml": ("PLAN_INVALID", "`fr train plan check FILE` shows its contents and its needs."),
    "report get nothing --out out": ("UNKNOWN_REPORT", "`fr report list` lists them."),
    "--key-file missing.key info": ("FILE_UNREADABLE", "missing.key cannot be read: No such file or directory."),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("data")) as server:
        with Client(server.address) as client:
            client.create_gallery("g", use="test")
        yield server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_there_are_as_many_rows_as_promised() -> None:
    assert len(USAGE) + len(REFUSED) >= 47


@pytest.mark.parametrize("typed", USAGE)
def test_wrong_usage_says_what_is_right(folder: Path, typed: str) -> None:
    code, out, error = fr_at("localhost:1", *shlex.split(typed))
    assert (code, out) == (2, ""), error
    told = " ".join(error.replace("│", " ").split())
    assert USAGE[typed] in told
    assert "Traceback" not in error
    assert contents(folder) == FILES


@pytest.mark.parametrize("typed", REFUSED)
def test_a_refusal_is_one_sentence_with_a_remedy(server: Running, folder: Path, typed: str) -> None:
    reason, words = REFUSED[typed]
    code, out, error = fr_at(server.address, *shlex.split(typed))
    assert (code, out, len(error.splitlines())) == (1, "", 1), error
    assert error.startswith(f"{reason}: ")
    assert words in error
    assert "Traceback" not in error
    assert contents(folder) == FILES


def test_control_the_same_folder_is_enrolled_and_changed_by_good_input(server: Running, folder: Path) -> None:
    assert fr_at(server.address, "enrol", "g", "people", "--journal", "journal", "--refused", "refused.csv")[0] == 0
    assert contents(folder).keys() - FILES.keys() == {"journal", "refused.csv"}
