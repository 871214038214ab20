"""A report measured again, without models: coloured squares are faces, and equal squares are one person."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fr_bench.cli import evaluate
from fr_core.errors import CallEnded
from fr_core.imaging import DEFAULT_FORMATS
from fr_datasets.manifests import load_manifest
from fr_evaluation.cli import print_repetition
from fr_evaluation.files import AnyReport, data_files
from fr_evaluation.identification.run import list_sha256 as people_sha256
from fr_evaluation.identification.run import read_people
from fr_evaluation.identification.searches import open_set
from fr_evaluation.recorded import NotRepeatable, read_recorded
from fr_evaluation.repeat import TOLERANCE, Repetition, hold_against, read_given, run_again
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.verification.run import list_sha256 as pairs_sha256
from fr_evaluation.verification.run import read_pairs
from fr_evaluation.verification.sources import PairsToCompare
from support.evaluations import NOW, cancelled_call, identified, ignore, verified
from support.photos import engine, face
from support.results import defined


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three people with two photos each, as pairs of two folds."""
    root = tmp_path / "people"
    for number, name in enumerate("abc"):
        for photo in (1, 2):
            face(root / name / f"{photo}.png", 40 * number)
    pairs = ["a/1.png,a/2.png,1,1", "a/1.png,b/1.png,0,1", "b/1.png,b/2.png,1,2", "b/2.png,c/1.png,0,2"]
    (root / "pairs.csv").write_text("\n".join(["a,b,mated,fold", *pairs]) + "\n", encoding="utf-8")
    return root


@pytest.fixture
def out(tmp_path: Path, root: Path) -> Path:
    """The report of these pairs."""
    return written(verified(read_pairs("pairs_csv", root)), tmp_path / "out")


def written(report: AnyReport, folder: Path) -> Path:
    folder.mkdir()
    for name, content in data_files(report).items():
        (folder / name).write_bytes(content)
    return folder


def edit(out: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = out / "report.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def repeated(out: Path, root: Path) -> Repetition:
    recorded = read_recorded(out)
    report = run_again(recorded, engine(), read_given(recorded, root), workers=1, clock=lambda: NOW, on_progress=ignore)
    return hold_against(recorded, report)


def refused(out: Path, root: Path, *more: str) -> str:
    """The words of the command, which ends before it opens a model."""
    result = CliRunner().invoke(evaluate, ["repeat", str(out), "--root", str(root), *more])
    assert result.exit_code == 2
    return result.output


def differences(out: Path, root: Path) -> list[tuple[str, str, str]]:
    return [(one.path, one.then, one.now) for one in repeated(out, root).different]


def test_the_same_photos_give_the_same_numbers_and_the_report_names_no_folder(out: Path, root: Path) -> None:
    repetition = repeated(out, root)
    assert repetition.same
    assert repetition.compared > 40
    assert (repetition.pairs, repetition.largest, repetition.notes) == (4, 0.0, ())
    assert repeated(out / "report.json", root) == repetition
    text = (out / "report.json").read_text(encoding="utf-8")
    document = json.loads(text)
    assert {"python", "machine", "numpy", "pillow"} <= set(document["versions"])
    assert document["settings"]["detector_sha256"] == engine().pack.detector.file.sha256
    assert document["settings"]["images"]["formats"] == list(DEFAULT_FORMATS)
    assert document["settings"]["quality"]["max_yaw"] == 60.0
    assert document["dataset"]["manifest_sha256"] == load_manifest("pairs_csv").sha256
    assert str(root) not in text


def test_an_identification_is_repeated_with_its_draws_and_sizes(tmp_path: Path, root: Path) -> None:
    out = written(identified(root, [5], seed=2), tmp_path / "out")
    assert json.loads((out / "report.json").read_text(encoding="utf-8"))["settings"]["gallery_sizes"] == [5]
    repetition = repeated(out, root)
    assert repetition.same
    assert (repetition.compared > 20, repetition.pairs, repetition.largest) == (True, 6, 0.0)
    text = (out / "scores.csv").read_text(encoding="utf-8")
    (out / "scores.csv").write_text(text.replace(",0.", ",-0.", 1), encoding="utf-8")
    assert [(path, now) for path, _, now in differences(out, root)] == [("scores.csv", "1 not as it was")]
    edit(out, lambda document: document["settings"].update(seed=3))
    with pytest.raises(NotRepeatable, match="The list of people_folder is another"):
        read_given(read_recorded(out), root)


def test_a_changed_photo_gives_other_figures_and_similarities(out: Path, root: Path) -> None:
    face(root / "a" / "2.png", 200)
    repetition = repeated(out, root)
    assert not repetition.same
    assert repetition.largest > 0.01
    paths = {one.path for one in repetition.different}
    assert {"at_default_threshold/fnmr/count", "scores.csv"} <= paths
    face(root / "a" / "2.png", None)
    assert ("failures_to_acquire", "0", "1") in differences(out, root)


def test_an_edited_figure_is_named_and_one_within_the_tolerance_is_not(out: Path, root: Path) -> None:
    best = json.loads((out / "report.json").read_text(encoding="utf-8"))["accuracy_at_best_threshold"]["threshold"]

    def threshold(value: object) -> None:
        edit(out, lambda document: document["accuracy_at_best_threshold"].update(threshold=value))

    threshold(best + 0.9 * TOLERANCE)
    assert repeated(out, root).same
    for other in (best + 1.1 * TOLERANCE, None, True, "0.5"):
        threshold(other)
        assert [path for path, *_ in differences(out, root)] == ["accuracy_at_best_threshold/threshold"]
    threshold(best)
    edit(out, lambda document: document["pairs"].update(mated=document["pairs"]["mated"] + 1))
    assert differences(out, root) == [("pairs/mated", "3", "2")]
    edit(out, lambda document: document["pairs"].update(mated=2, mated_failures=False))
    assert [path for path, *_ in differences(out, root)] == ["pairs/mated_failures"]
    edit(out, lambda document: document["pairs"].update(mated_failures=0))
    edit(out, lambda document: document["pairs"].pop("mated"))
    assert differences(out, root) == [("pairs/mated", "absent", "2")]


def test_a_small_rate_has_a_small_tolerance_and_a_cosine_near_0_has_not(tmp_path: Path, root: Path) -> None:
    report = verified(read_pairs("pairs_csv", root))
    assert isinstance(report, VerificationReport)
    point = defined(report.figures.default)
    fmr = replace(point.fmr, interval=replace(point.fmr.interval, low=4.8e-5))
    figures = replace(report.figures, default=replace(point, fmr=fmr, threshold=1e-6))
    report = replace(report, figures=figures)
    recorded = read_recorded(written(report, tmp_path / "out"))

    def differs(part: dict[str, Any]) -> list[str]:
        default = recorded.document["at_default_threshold"]
        document = {**recorded.document, "at_default_threshold": {**default, **part}}
        return [one.path for one in hold_against(replace(recorded, document=document), report).different]

    def ends(low: float, high: float) -> dict[str, Any]:
        return {"fmr": {**recorded.document["at_default_threshold"]["fmr"], "low": low, "high": high}}

    high = recorded.document["at_default_threshold"]["fmr"]["high"]
    assert differs({}) == differs(ends(4.8e-5 * (1 + 1e-4), high)) == differs({"threshold": -8e-6}) == []
    assert differs(ends(4e-5, high)) == differs(ends(0.0, high)) == ["at_default_threshold/fmr/low"]
    assert differs(ends(4.8e-5, high + 2e-5)) == ["at_default_threshold/fmr/high"]
    assert differs({"threshold": -1e-5}) == ["at_default_threshold/threshold"]


def test_a_list_is_the_same_wherever_it_lies_and_names_each_photo_apart(tmp_path: Path) -> None:
    def hashes(root: Path) -> tuple[str, str]:
        pairs = pairs_sha256(read_pairs("people_folder", root))
        people = read_people("people_folder", root)
        return pairs, people_sha256(people, open_set(people.people.people, 1))

    for name in "ab":
        face(tmp_path / "here" / name / "1.png", 0)
        face(tmp_path / "here" / name / "2.png", 0)
    first = hashes(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert hashes(tmp_path / "there") == first
    (tmp_path / "there" / "b" / "2.png").rename(tmp_path / "there" / "b" / "3.png")
    assert not set(hashes(tmp_path / "there")) & set(first)

    flat = tmp_path / "flat"
    for name in ("x/ada/1", "x/ada/2", "y/ada/1", "y/ada/2", "1", "2"):
        face(flat / f"{name}.png", 0)

    def listed(*rows: str) -> str:
        (flat / "pairs.csv").write_text("\n".join(["a,b,mated", *rows]) + "\n", encoding="utf-8")
        return pairs_sha256(read_pairs("pairs_csv", flat))

    assert listed("x/ada/1.png,x/ada/2.png,1") != listed("y/ada/1.png,y/ada/2.png,1")
    before = listed("1.png,2.png,1")
    flat = flat.rename(tmp_path / "elsewhere")
    assert listed("1.png,2.png,1") == before
    given = read_pairs("pairs_csv", flat)
    (pair,) = given.pairs.pairs
    assert pairs_sha256(replace(given, pairs=replace(given.pairs, pairs=(replace(pair, people=("a", "a")),)))) != before
    with cancelled_call(), pytest.raises(CallEnded):
        pairs_sha256(given)


def test_the_layouts_of_lfw_are_one_list(tmp_path: Path) -> None:
    for name in "ab":
        for photo in (1, 2):
            face(tmp_path / name / f"{name}_{photo:04}.jpg", 0)
    (tmp_path / "pairs.txt").write_text("1\t1\na\t1\t2\na\t1\tb\t1\n", encoding="utf-8")
    (tmp_path / "people.txt").write_text("1\n2\na\t2\nb\t2\n", encoding="utf-8")

    def hashes() -> tuple[str, str]:
        people = read_people("lfw", tmp_path)
        return pairs_sha256(read_pairs("lfw", tmp_path)), people_sha256(people, open_set(people.people.people, 1))

    first = hashes()
    for folder in ("images", "lfw-deepfunneled"):
        (tmp_path / folder).mkdir()
        for name in "ab":
            next(tmp_path.glob(f"**/{name}")).rename(tmp_path / folder / name)
        for other in {"images", "lfw-deepfunneled"} - {folder}:
            if (tmp_path / other).exists():
                (tmp_path / other).rmdir()
        assert hashes() == first


def test_what_a_report_says_commands_no_terminal(out: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(out, lambda document: document.update({"[/x]\x1b[2J": 1}))
    edit(out, lambda document: document["versions"].update(numpy="\x1b[3J"))
    print_repetition(repeated(out, root))
    told = capsys.readouterr().out
    assert r"[/x]\x1b[2J" in told
    assert r"\x1b[3J then" in told
    assert "\x1b" not in told


def test_an_edited_similarity_is_noticed(out: Path, root: Path) -> None:
    path = out / "scores.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    assert differences(out, root) == [("scores.csv", "3 similarities", "1 not as it was")]
    old = lines[1].split(",")[5]
    path.write_text("".join(lines).replace(old, f"{float(old) - 0.25}", 1), encoding="utf-8")
    repetition = repeated(out, root)
    assert [(one.then, one.now) for one in repetition.different] == [("4 similarities", "1 not as it was")]
    assert repetition.largest == pytest.approx(0.25)
    path.unlink()
    assert (repeated(out, root).same, repeated(out, root).pairs) == (True, None)


@pytest.mark.parametrize("name", ["embedder_sha256", "detector_sha256"])
def test_other_versions_are_told_and_another_model_is_refused(out: Path, root: Path, name: str) -> None:
    edit(out, lambda document: document["versions"].update(numpy="1.0"))
    edit(out, lambda document: document["settings"].update(device="openvino"))
    repetition = repeated(out, root)
    assert repetition.same
    notes = [note.split(" now")[0].split(",")[0] for note in repetition.notes]
    assert notes == ["device: openvino then", "numpy: 1.0 then"]
    edit(out, lambda document: document["settings"].update({name: "f" * 64}))
    with pytest.raises(NotRepeatable, match="The report is of model null@1:000000000000"):
        repeated(out, root)


def test_other_lists_and_manifests_are_refused_before_a_model_is_opened(out: Path, root: Path) -> None:
    text = (root / "pairs.csv").read_text(encoding="utf-8")
    (root / "pairs.csv").write_text(text.replace("b/2.png,c/1.png", "b/1.png,c/1.png"), encoding="utf-8")
    words = refused(out, root)
    assert words.startswith("REPORT_UNUSABLE: The list of pairs_csv is another")
    assert "--root" in words
    edit(out, lambda document: document["dataset"].update(manifest_sha256="0" * 64))
    assert "The manifest of pairs_csv is another" in refused(out, root)
    assert refused(out, root / "nowhere").startswith("DATASET_MISSING:")


def test_labels_of_people_belong_to_what_is_repeated(tmp_path: Path, root: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("identity,side\na,left\nb,right\nc,left\n", encoding="utf-8")
    out = written(verified(read_pairs("people_folder", root, labels)), tmp_path / "out")
    assert isinstance(read_given(read_recorded(out), root, labels), PairsToCompare)
    with pytest.raises(NotRepeatable, match="Say with --groups"):
        read_given(read_recorded(out), root)
    labels.write_text("identity,side\na,left\nb,left\nc,left\n", encoding="utf-8")
    with pytest.raises(NotRepeatable, match="Say with --groups"):
        read_given(read_recorded(out), root, labels)


def test_each_command_of_the_guide_asks_for_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text("utf-8")
    commands = re.findall(r"(?m)^(?: {4})?fr evaluate (repeat .*)$", guide)
    assert len(commands) == 2
    monkeypatch.chdir(tmp_path)
    for command in commands:
        result = CliRunner().invoke(evaluate, command.split())
        assert (result.exit_code, result.output.partition(":")[0]) == (2, "REPORT_UNUSABLE"), command


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON, or is cut off"),
        ("[" * 100_000, "is nested deeper than 32 levels"),
        ('{"format": NaN}', "is not JSON, or is cut off"),
        ("[]", "is not a report of"),
        ('{"format": 2, "kind": "verification", "notice": "\\ud800"}', "holds a character that no text can have"),
        ('{"format": 2, "auc": ' + "[" * 40 + "]" * 40 + "}", "is nested deeper than 32 levels"),
        ('{"format": 2, "kind": "speed"}', "is not a report of"),
        ('{"format": 3, "kind": "verification"}', "is of format 3, and this version reads 2. Use the version"),
        ('{"format": 1, "kind": "verification"}', "is of format 1, and this version reads 2. Measure it anew"),
        ('{"format": true, "kind": "verification"}', "is of format True"),
        ('{"format": 2, "kind": "verification"}', "lacks `dataset`"),
        ('{"format": 2, "kind": "verification", "dataset": [], "versions": {}}', "`dataset` is not an object"),
    ],
)
def test_what_is_no_report_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text, encoding="utf-8")
    told = refused(path, tmp_path)
    assert (words in told, told.count("\n")) == (True, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("seed", 1.5),
        ("flip", 1),
        ("threshold", "high"),
        ("threshold", 10**400),
        ("images", {"max_bytes": 1, "max_pixels": 1, "formats": "JPEG"}),
        ("images", {"max_bytes": 1, "max_pixels": 1}),
        ("quality", 3),
        ("gallery_sizes", [10**8]),
        ("gallery_sizes", [3, 2]),
        ("model", None),
        ("colour", "red"),
    ],
)
def test_a_setting_of_another_form_is_named(out: Path, root: Path, name: str, value: object) -> None:
    edit(out, lambda document: document["settings"].update({name: value}))
    words = refused(out, root)
    assert words.count("\n") == 1
    assert name in words or "formats" in words


@pytest.mark.timeout(60)
def test_broken_scores_absent_reports_pipes_and_the_reports_own_folder_are_refused(out: Path, root: Path) -> None:
    for text in ("photo_a,photo_b,similarity\na,b,high\n", "photo_a,similarity\na,0.5\n", '"a"b\n', "\x00\n"):
        (out / "scores.csv").write_text(text, encoding="utf-8")
        assert "scores.csv is broken" in refused(out, root), text
    assert "cannot be read" in refused(out / "nothing.json", root)
    (out / "scores.csv").unlink()
    assert "say another folder with --out" in refused(out, root, "--out", str(out))
    for name in ("scores.csv", "report.json"):
        (out / name).unlink(missing_ok=True)
        os.mkfifo(out / name)
        assert "not a regular file" in refused(out, root)
        (out / name).unlink()
