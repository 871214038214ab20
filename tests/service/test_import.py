"""Embeddings that were made before, and photos that are enrolled with a journal, through the API and `fr`."""

import csv
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fr_api.v1 import common_pb2, gallery_pb2
from fr_client import Client, EmbeddingBatch, EmbeddingSubject, EnrolItem
from fr_client.errors import FrApiError, reason_of
from fr_core.embed.null import NULL_MODEL
from fr_core.errors import ShuttingDown
from fr_core.gallery.galleries import Galleries
from fr_core.types import F32, ModelId
from support.scripted import asked
from support.servers import Fr, Running, photo, running

MODEL = common_pb2.ModelId(pack=NULL_MODEL.pack, version=NULL_MODEL.version, sha256=NULL_MODEL.sha256)
NAMED = f"{NULL_MODEL.pack}@{NULL_MODEL.version}:{NULL_MODEL.sha256}"
SIZE = 64


@pytest.fixture
def client(server: Running) -> Client:
    client = Client(server.address)
    client.create_gallery("g")
    return client


def unit(n: int, size: int = SIZE) -> F32:
    """n directions, f32[n, size], length 1; the same for each call."""
    vectors = np.random.default_rng(n).standard_normal((n, size)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def batch(vectors: F32, subject_ids: Sequence[str], item_id: str = "") -> EmbeddingBatch:
    return EmbeddingBatch(vectors.astype("<f4").tobytes(), [EmbeddingSubject(one) for one in subject_ids], item_id)


def first(client: Client, vector: F32) -> gallery_pb2.Candidate:
    answer = client.search("g", common_pb2.Embedding(vector=vector.tolist(), model=MODEL))
    return answer.results[0].candidates[0]


def refused(answer: gallery_pb2.EnrolEmbeddingsResponse) -> dict[int, str]:
    return {one.row: reason_of(one.refusal) for one in answer.refusals}


def only(client: Client, sent: EmbeddingBatch, model: common_pb2.ModelId = MODEL, gallery_id: str = "g") -> Any:
    ((_, answer),) = client.enrol_embeddings(gallery_id, model, [sent])
    return answer


def test_every_row_is_stored_or_refused_by_itself(client: Client) -> None:
    vectors = unit(8)
    vectors[1] = np.nan
    vectors[2] *= 3
    vectors[3] = 0
    before = client.get_gallery("g").version
    answer = only(client, batch(vectors, ["a", "nan", "long", "zero", "a", "", "b", "x" * 129]))
    assert refused(answer) == {
        1: "EMBEDDING_NOT_FINITE",
        2: "EMBEDDING_NOT_UNIT",
        3: "EMBEDDING_NOT_UNIT",
        5: "INVALID_IDENTIFIER",
        7: "INVALID_IDENTIFIER",
    }
    assert [bool(number) for number in answer.template_ids] == [True, False, False, False, True, False, True, False]
    assert answer.created_subjects == 2
    gallery = client.get_gallery("g")
    assert (gallery.subject_count, gallery.template_count) == (2, 3)
    assert gallery.version == answer.gallery_version == before + 1
    for row, subject_id in ((0, "a"), (4, "a"), (6, "b")):
        found = first(client, vectors[row])
        assert (found.subject_id, found.template_id) == (subject_id, answer.template_ids[row])
        assert found.similarity == pytest.approx(1.0)


def test_a_batch_of_refused_rows_changes_nothing(client: Client) -> None:
    before = client.get_gallery("g")
    answer = only(client, batch(np.zeros((3, SIZE), np.float32), ["a", "b", "c"]))
    assert len(refused(answer)) == 3
    assert not answer.HasField("gallery_version")
    assert client.get_gallery("g") == before


def test_a_request_that_cannot_be_read_is_refused_whole(client: Client) -> None:
    one, other = batch(unit(1), ["a"]), common_pb2.ModelId(pack="other", version="1", sha256="0" * 64)
    for sent, model, gallery_id, reason in (
        (batch(unit(2), ["a"]), MODEL, "g", "EMBEDDING_WRONG_SIZE"),
        (batch(unit(1, SIZE - 1), ["a"]), MODEL, "g", "EMBEDDING_WRONG_SIZE"),
        (one, other, "g", "MODEL_MISMATCH"),
        (one, common_pb2.ModelId(), "g", "MISSING_FIELD"),
        (batch(unit(0), []), MODEL, "g", "MISSING_FIELD"),
        (batch(unit(1001), ["a"] * 1001), MODEL, "g", "INVALID_FIELD"),
        (one, MODEL, "nowhere", "UNKNOWN_GALLERY"),
    ):
        assert reason_of(only(client, sent, model, gallery_id)) == reason
    assert client.get_gallery("g").template_count == 0


def test_names_and_metadata_are_kept_and_existing_subjects_keep_theirs(client: Client) -> None:
    vectors = unit(2)
    subjects = [EmbeddingSubject("a", "Ada", {"case": "7"}), EmbeddingSubject("a")]
    only(client, EmbeddingBatch(vectors.tobytes(), subjects))
    found = client.get_subject("g", "a")
    assert (found.display_name, dict(found.metadata), len(found.templates)) == ("Ada", {"case": "7"}, 2)
    assert [template.HasField("quality") for template in found.templates] == [False, False]


def test_each_batch_is_answered(client: Client, server: Running) -> None:
    sent = [batch(unit(n), [f"s{n}-{i}" for i in range(n)], str(n)) for n in range(1, 8)]
    answers = asked("async", server.address, lambda one: one.enrol_embeddings("g", MODEL, sent))
    assert {item_id: len(answer.template_ids) for item_id, answer in answers} == {str(n): n for n in range(1, 8)}
    assert client.get_gallery("g").template_count == 28


def test_an_enrolment_reports_similar_subjects_and_is_stored_all_the_same(client: Client) -> None:
    face = photo(1)
    embedding = client.embed(face).faces[0].embedding
    for subject_id in ("a", "b", "c", "d", "e"):
        answer = client.enrol("g", subject_id, embedding, report_similar=True)
    assert [one.rank for one in answer.similar] == [1, 2, 3]
    assert "e" not in {one.subject_id for one in answer.similar}
    assert all(one.above_threshold for one in answer.similar)
    assert len(client.get_subject("g", "e").templates) == 1
    assert not client.enrol("g", "f", embedding).similar


def test_only_similar_subjects_of_the_threshold_are_reported(client: Client) -> None:
    vectors = unit(2)
    client.enrol("g", "a", common_pb2.Embedding(vector=vectors[0].tolist(), model=MODEL))
    other = common_pb2.Embedding(vector=vectors[1].tolist(), model=MODEL)
    assert not client.enrol("g", "b", other, report_similar=True).similar
    (found,) = client.enrol("g", "b", other, report_similar=True, similar_threshold=-1.0).similar
    assert found.subject_id == "a"
    assert found.similarity == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-5)
    with pytest.raises(FrApiError, match="threshold") as caught:
        client.enrol("g", "c", other, report_similar=True, similar_threshold=1.5)
    assert caught.value.reason == "INVALID_THRESHOLD"
    assert client.get_gallery("g").subject_count == 2


@pytest.mark.parametrize("error", [ShuttingDown("The server is shutting down."), RuntimeError("a defect")])
def test_a_face_is_stored_once_where_the_search_for_similar_ones_fails(
    client: Client, server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fails(*arguments: object) -> None:
        raise error

    embedding = client.embed(photo(1)).faces[0].embedding
    assert not client.enrol("g", "jane roe", embedding, report_similar=True).similar_unknown
    monkeypatch.setattr(server.app.galleries, "search", fails)
    answer = client.enrol("g", "jane roe", embedding, report_similar=True)
    assert (answer.similar_unknown, list(answer.similar), answer.template_id) == (True, [], 2)
    item = EnrolItem("jane roe", embedding, "item", report_similar=True)
    ((_, streamed),) = client.enrol_many("g", [item])
    assert isinstance(streamed, gallery_pb2.EnrolResponse)
    assert streamed.similar_unknown
    assert not client.enrol("g", "jane roe", embedding).similar_unknown
    assert client.get_gallery("g").template_count == 4
    assert "jane" not in caplog.text


def write_npy(folder: Path, vectors: F32, rows: Sequence[str]) -> tuple[Path, Path]:
    np.save(folder / "v.npy", vectors)
    (folder / "rows.csv").write_text("subject_id,display_name,unit\n" + "".join(f"{row}\n" for row in rows))
    return folder / "v.npy", folder / "rows.csv"


def test_a_file_of_numpy_is_imported_and_refused_rows_are_told(fr: Fr, client: Client, tmp_path: Path) -> None:
    vectors = unit(1500)
    vectors[7] = np.inf
    vectors[1200] *= 2
    files = write_npy(tmp_path, vectors, [f"s{i},Name {i},u{i % 2}" for i in range(1500)])
    refused_to = tmp_path / "refused.csv"
    code, out, _ = fr("gallery", "import", "g", *files, "--model", NAMED[:30], "--refused", refused_to)
    assert code == 3
    assert "1,498 embeddings stored (1,498 new subjects), 2 refused" in out
    with refused_to.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["row"], row["subject_id"], row["reason"]) for row in rows] == [
        ("8", "s7", "EMBEDDING_NOT_FINITE"),
        ("1201", "s1200", "EMBEDDING_NOT_UNIT"),
    ]
    found = first(client, vectors[1499])
    assert (found.subject_id, found.display_name, dict(found.metadata)) == ("s1499", "Name 1499", {"unit": "u1"})


def test_normalise_brings_rows_to_length_one(fr: Fr, client: Client, tmp_path: Path) -> None:
    vectors = unit(3).astype(np.float64) * 17.0
    vectors[2] = 0.0
    files = write_npy(tmp_path, vectors, ["a,,", "b,,", "c,,"])  # type: ignore[arg-type]
    code, out, _ = fr("gallery", "import", "g", *files, "--model", NAMED, "--normalise", "--json")
    told = json.loads(out)
    assert (code, told["stored"], told["refused"]) == (3, 2, {"EMBEDDING_NOT_UNIT": 1})
    assert first(client, vectors[1] / 17.0).similarity == pytest.approx(1.0)


def test_a_part_of_a_file_is_imported_where_asked_for(fr: Fr, client: Client, tmp_path: Path) -> None:
    files = write_npy(tmp_path, unit(2500), [f"s{i},," for i in range(1, 2501)])
    rows = ("--first-row", 1001, "--last-row", 2100)
    code, out, _ = fr("gallery", "import", "g", *files, "--model", NAMED, *rows, "--json")
    told = json.loads(out)
    assert (code, told["stored"], told["next_row"], told["unanswered"]) == (0, 1100, 2101, [])
    assert {subject.subject_id for subject in client.list_subjects("g")} == {f"s{i}" for i in range(1001, 2101)}


def test_another_model_is_refused_first(fr: Fr, client: Client, tmp_path: Path) -> None:
    files = write_npy(tmp_path, unit(1), ["a,,"])
    for model, reason in (
        ("null", "MODEL_INVALID"),
        (f"{NULL_MODEL.pack}@2:{NULL_MODEL.sha256}", "MODEL_MISMATCH"),
        (f"{NULL_MODEL.pack}@{NULL_MODEL.version}:{'f' * 64}", "MODEL_MISMATCH"),
    ):
        code, _, error = fr("gallery", "import", "g", *files, "--model", model)
        assert (code, error.partition(":")[0]) == (1, reason)
    assert client.get_gallery("g").template_count == 0


def test_files_that_do_not_fit_are_refused_before_anything_is_sent(fr: Fr, client: Client, tmp_path: Path) -> None:
    vectors, rows = write_npy(tmp_path, unit(2), ["a,,"])
    named = ("--model", NAMED)
    cases: list[tuple[tuple[object, ...], str]] = [
        ((vectors, rows), "2 rows and .* 1"),
        ((vectors,), "FILE.npy with ROWS.csv"),
        ((rows, rows), "FILE.npy with ROWS.csv"),
        ((tmp_path / "none.npy", rows), "none.npy cannot be read"),
    ]
    np.save(tmp_path / "small.npy", unit(1, 8))
    np.save(tmp_path / "flat.npy", unit(1)[0])
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "torn.npy").write_bytes(vectors.read_bytes()[:200])
    cases += [
        ((tmp_path / "small.npy", rows), "have 8 values; the gallery's have 64"),
        ((tmp_path / "flat.npy", rows), "no table"),
        ((tmp_path / "object.npy", rows), "not an array of numbers"),
        ((tmp_path / "torn.npy", rows), "not an array of numbers"),
    ]
    for files, sentence in cases:
        code, _, error = fr("gallery", "import", "g", *files, *named)
        assert code == 1, sentence
        assert re.search(sentence, error.replace("\n", " ")), (sentence, error)
    assert client.get_gallery("g").template_count == 0


def test_a_file_of_parquet_is_imported(fr: Fr, client: Client, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    vectors = [row.tolist() for row in unit(6)]
    table = pyarrow.table(
        {
            "subject_id": ["a", "b", "c", "d", "e", "f"],
            "embedding": pyarrow.array(
                [*vectors[:2], vectors[2][:5], None, [None, *vectors[4][1:]], vectors[5]],
                pyarrow.list_(pyarrow.float32()),
            ),
            "display_name": ["Ada", None, "", "", "", "Fay"],
            "year": [1815, None, 1, 2, 3, 4],
        }
    )
    file = tmp_path / "v.parquet"
    parquet.write_table(table, file, row_group_size=4)
    code, out, error = fr("gallery", "import", "g", file, "--model", NAMED, "--json")
    assert code == 3, error
    told = json.loads(out)
    assert {one["row"]: one["reason"] for one in told["first_refusals"]} == {
        3: "EMBEDDING_WRONG_SIZE",
        4: "EMBEDDING_WRONG_SIZE",
        5: "EMBEDDING_NOT_FINITE",
    }
    assert told["stored"] == 3
    found = client.get_subject("g", "a")
    assert (found.display_name, dict(found.metadata)) == ("Ada", {"year": "1815"})
    assert not client.get_subject("g", "b").metadata
    assert first(client, unit(6)[5]).subject_id == "f"


def test_a_file_that_is_no_parquet_is_refused(fr: Fr, client: Client, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "v.parquet").write_bytes(b"PAR1 but no more")
    code, _, error = fr("gallery", "import", "g", tmp_path / "v.parquet", "--model", NAMED)
    assert (code, error.partition(":")[0]) == (1, "EMBEDDINGS_INVALID")


def test_parquet_needs_pyarrow(fr: Fr, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, error = fr("gallery", "import", "g", tmp_path / "v.parquet", "--model", NAMED)
    assert code == 1
    assert "pip install './client[parquet]'" in error


def test_a_run_that_stops_early_says_how_to_go_on(fr: Fr, client: Client, server: Running, tmp_path: Path) -> None:
    files = write_npy(tmp_path, unit(9000), [f"s{i},," for i in range(9000)])
    stopped: list[int] = []
    enrol_many = server.app.galleries.enrol_many

    def twice(gallery_id: str, enrolments: Sequence[object]) -> object:
        if len(stopped) == 2:
            server.app.galleries.delete(gallery_id)
        stopped.append(len(enrolments))
        return enrol_many(gallery_id, enrolments)  # type: ignore[arg-type]

    server.app.galleries.enrol_many = twice  # type: ignore[method-assign, assignment]
    code, out, error = fr("gallery", "import", "g", *files, "--model", NAMED, "--json")
    told = json.loads(out)
    assert (code, told["error"]["reason"], told["stored"]) == (1, "UNKNOWN_GALLERY", 2000)
    assert f"continue with --first-row {told['next_row']}" in error
    assert told["turned_down"] == [2001, 3000]
    answered = told["next_row"] - 1 - sum(end - begin + 1 for begin, end in told["unanswered"])
    assert answered == 3000  # two batches that were stored, and the one that was refused
    left = [told["turned_down"], *told["unanswered"]]
    assert all(f"--first-row {begin} --last-row {end}" in error for begin, end in left)


@pytest.mark.nightly
@pytest.mark.alone
@pytest.mark.slow
def test_five_thousand_embeddings_a_second_are_imported(tmp_path: Path) -> None:
    """Import 10,000 embeddings of 512 values, the server in this process; print the pace.

    The bar is the CPU time of the server's process, at the speed of the bar's machine: others may use this one.
    """
    count, size = 10_000, 512
    model = ModelId("measured", "1", "ab" * 32)
    with Galleries.open(tmp_path / "data") as galleries:
        galleries.create("g", "", model, size)
    files = write_npy(tmp_path, unit(count, size), [f"s{i},,u{i % 10}" for i in range(count)])
    command = (sys.executable, "-c", "from fr_client.cli.main import main; main()")
    with running(tmp_path / "data") as server:
        words = ("--server", server.address, "gallery", "import", "g", *files, "--model", str(model), "--json")
        begun, computed = time.perf_counter(), time.process_time()
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=True)
        seconds, computed = time.perf_counter() - begun, time.process_time() - computed
        assert server.app.galleries.get("g").template_count == count
    pace = count / json.loads(done.stdout)["seconds"]
    print(  # noqa: T201 - the figures
        f"\n{pace:,.0f} embeddings/s, durable; {count / seconds:,.0f}/s with the start of the command; "
        f"the server computed {1e6 * computed / count:.0f} us for each"
    )
    assert computed / count < max(1.0, seconds_of_a_loop() / LOOP_S) / 5000


LOOP_S = 0.025
"""Seconds of `seconds_of_a_loop` on the machine of the bar."""


def seconds_of_a_loop() -> float:
    """Time a core needs for a fixed piece of work; the median of nine."""
    took = []
    for _ in range(9):
        begun, total = time.process_time(), 0
        for number in range(1_000_000):
            total += number
        took.append(time.process_time() - begun)
    return statistics.median(took)


Enrol = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def enrol(fr: Fr) -> Enrol:
    """A function that runs `fr enrol team ... --json`: exit status, what it printed, standard error."""

    def run(*words: object) -> tuple[int, Any, str]:
        status, printed, errors = fr("enrol", "team", *words, "--json")
        *each, summary = map(json.loads, printed.splitlines())
        refused = [{"photo": one["photo"], **one["error"]} for one in each if "error" in one]
        return status, {**summary, "refusals": refused}, errors

    return run


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Three subjects with four photos, of which one has no face."""
    folder = tmp_path / "people"
    for name, blues in {"ada": (1, 2), "grace": (3,)}.items():
        (folder / name).mkdir(parents=True)
        for blue in blues:
            (folder / name / f"{blue}.png").write_bytes(photo(blue))
    (folder / "grace" / "empty.png").write_bytes(photo())
    return folder


@pytest.fixture
def sent(server: Running, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    enrol_many = Client.enrol_many

    def watched(self: Client, gallery_id: str, faces: Any, **options: Any) -> Any:
        def noted() -> Iterator[Any]:
            for item in faces:
                names.append(item.subject_id)
                yield item

        return enrol_many(self, gallery_id, noted(), **options)

    monkeypatch.setattr(Client, "enrol_many", watched)
    return names


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "team.journal"


def counts(told: Any) -> tuple[int, int, int]:
    return told["stored"], told["already_enrolled"], told["refused"]


def test_a_second_run_sends_only_new_photos(sent: list[str], enrol: Enrol, people: Path, journal: Path) -> None:
    code, told, _ = enrol(people, "--create", "--journal", journal)
    assert (code, counts(told), len(sent)) == (3, (3, 0, 1), 4)
    sent.clear()
    code, again, _ = enrol(people, "--journal", journal)
    assert (code, counts(again), sent) == (3, (0, 3, 1), [])
    assert again["refusals"] == told["refusals"]

    (people / "ada" / "9.png").write_bytes(photo(9))
    (people / "ada" / "1.png").write_bytes(photo(7))
    os.utime(people / "ada" / "2.png", ns=(1, 1))
    code, told, _ = enrol(people, "--journal", journal)
    assert (code, counts(told), sent) == (3, (2, 2, 1), ["ada", "ada", "ada"])
    sent.clear()
    assert counts(enrol(people, "--journal", journal)[1]) == (0, 4, 1)
    assert sent == []


def test_refused_photos_are_retried_on_request(sent: list[str], enrol: Enrol, people: Path, journal: Path) -> None:
    enrol(people, "--create", "--journal", journal)
    sent.clear()
    code, told, _ = enrol(people, "--journal", journal, "--retry-refused")
    assert (code, counts(told), sent) == (3, (0, 3, 1), ["grace"])


def test_a_run_that_was_stopped_goes_on_where_it_was(
    sent: list[str], enrol: Enrol, server: Running, people: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = server.app.galleries.enrol
    calls: list[None] = []

    def fails_later(*arguments: Any) -> Any:
        calls.append(None)
        if len(calls) > 2:
            raise RuntimeError("a defect")
        return real(*arguments)

    monkeypatch.setattr(server.app.galleries, "enrol", fails_later)
    code, told, _ = enrol(people, "--create", "--journal", journal, "--in-flight", 1)
    assert (code, counts(told)) == (3, (2, 0, 2))
    assert {one["reason"] for one in told["refusals"]} == {"INTERNAL", "NO_FACE"}
    monkeypatch.undo()
    monkeypatch.setenv("FR_SERVER", server.address)
    # A failure of the server is no finding about a photo: it is sent again, and the photo without a face is not.
    code, told, _ = enrol(people, "--journal", journal)
    assert (code, counts(told)) == (3, (1, 2, 1))


def test_journal_of_a_replaced_gallery_is_refused(enrol: Enrol, server: Running, people: Path, journal: Path) -> None:
    enrol(people, "--create", "--journal", journal)
    with Client(server.address) as client:
        client.delete_gallery("team")
    code, told, error = enrol(people, "--create", "--journal", journal)
    assert (code, told["error"]["reason"]) == (1, "JOURNAL_OTHER")
    assert "Each gallery needs its own" in error
    with Client(server.address) as client:
        assert client.get_gallery("team").template_count == 0


def test_photos_of_a_lost_journal_are_sent_once(enrol: Enrol, server: Running, people: Path, journal: Path) -> None:
    enrol(people, "--create", "--journal", journal)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:2]))  # what the disk had not yet when the power failed
    code, told, _ = enrol(people, "--journal", journal)
    assert (code, counts(told)) == (3, (0, 3, 1))
    with Client(server.address) as client:
        assert client.get_gallery("team").template_count == 3


def test_similar_subjects_are_listed_as_leads(enrol: Enrol, fr: Fr, people: Path) -> None:
    (people / "ada again").mkdir()
    (people / "ada again" / "1.png").write_bytes(photo(1, width=420))
    (people / "grace" / "empty.png").unlink()
    code, told, _ = enrol(people, "--create", "--report-similar")
    assert (code, counts(told)) == (0, (4, 0, 0))
    (pair,) = told["similar_subjects"]
    assert pair["subject_ids"] == ["ada", "ada again"]
    assert pair["similarity"] == pytest.approx(1.0)
    (people / "ada again" / "2.png").write_bytes(photo(1, width=430))
    shown = fr("enrol", "team", people, "--report-similar")[1]
    assert "These subjects may be the same person: leads to check (1)." in shown
    assert "ada again" in shown
    assert "similar_subjects" not in enrol(people)[1]


def test_no_erased_photo_is_sent(sent: list[str], enrol: Enrol, server: Running, people: Path, journal: Path) -> None:
    (people / "grace" / "empty.png").unlink()
    assert enrol(people, "--create", "--journal", journal)[0] == 0
    assert enrol(people, "--journal", journal)[0] == 0
    with Client(server.address) as client:
        client.erase_subject("team", "ada")
    sent.clear()
    code, told, error = enrol(people, "--journal", journal)
    assert (code, counts(told), sent) == (3, (0, 3, 0), [])
    assert "2 or more photos that the journal lists as stored were deleted since" in error
    assert "this run does not send them again." in error
