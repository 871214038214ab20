"""`fr train run`: a sitting through a pipe, from consent to its end, and what goes wrong on the way."""

import os
import stat
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from grpc import StatusCode
from PIL import Image

from fr_api.v1 import training_pb2
from fr_client import Client, FrApiError
from fr_client.cli.state import Unusable
from fr_client.cli.train import run
from fr_client.cli.train.answers import Scale
from fr_client.cli.train.dialog import DELAYS_S, FIRST_DELAYS_S
from fr_client.cli.train.messages import trainee_text
from fr_client.cli.train.questions import Style
from fr_client.cli.train.run import report_text, take
from fr_client.sync.training import Training
from support.cli import fr, fr_at
from support.scripted_training import LOST, ScriptedTraining, face, picture, serving_training, trial

RED, GREEN = (200, 40, 40), (40, 180, 40)
SHORT = Style(short=True)
REPORT = report_text([])
PAIR = [picture("x", data=face(RED)), picture("y", data=face(GREEN))]
BEGIN = ("y", "")  # consent, and Enter for the block


class Keyboard:
    def __init__(self, lines: Iterable[str], interrupted: bool) -> None:
        self._lines = iter(lines)
        self._interrupted = interrupted

    def readline(self) -> str:
        line = next(self._lines, None)
        if line is None and self._interrupted:
            raise KeyboardInterrupt  # Ctrl-C; else the input ends
        return "" if line is None else f"{line}\n"

    def isatty(self) -> bool:
        return False


@dataclass
class Seen:
    text: str = ""
    status: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    connections: int = 0


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Seen]:
    """Takes a sitting of a service with some lines typed."""

    def run(
        service: ScriptedTraining, *lines: str, style: Style = SHORT, sitting: str = "", interrupted: bool = False
    ) -> Seen:
        seen = Seen()

        def viewer(path: Path) -> None:
            with Image.open(path) as opened:
                seen.sizes.append(opened.size)

        def connect() -> Training:
            seen.connections += 1
            return client.training

        monkeypatch.setattr(sys, "stdin", Keyboard(lines, interrupted))
        with serving_training(service) as target, Client(target) as client:
            try:
                take(connect, "s3cret", sitting, tmp_path / "p", viewer, style, seen.slept.append, REPORT)
            except typer.Exit as ended:
                seen.status = ended.exit_code
        seen.text = "".join(capsys.readouterr())
        assert "s3cret" not in seen.text
        assert "secret-session" not in seen.text
        assert list((tmp_path / "p").iterdir()) == []
        return seen

    return run


Taken = Callable[..., Seen]


def rating(left_s: int | None = None, **refusals: list[str]) -> ScriptedTraining:
    """One pair to rate, of a service that refuses calls."""
    service = ScriptedTraining([trial("RATE", PAIR, left_s=left_s)])
    service.refusals.update(refusals)
    return service


def decisions(service: ScriptedTraining) -> list[Any]:
    return service.calls("SubmitDecision")


def names(service: ScriptedTraining) -> list[str]:
    return [name for name, _ in service.requests]


def test_a_sitting_is_taken_from_consent_to_its_end(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: 0.0))
    reveal = training_pb2.Reveal(correct=False, text="Not right: two people.", similarities={"x": 0.25, "y": 0.25})
    service = ScriptedTraining([trial("RATE", PAIR, left_s=90)], reveal)
    seen = taken(service, *BEGIN, "2", "80", "4", "", style=Style())
    assert seen.status == 0
    for words in (
        "Your answers are kept.",
        "Do you agree? [y/N]:",
        "Block 1 of 1: Pairs\nLook.\nThen answer.\nSome photos are small: pictures are enlarged up to 2.4 times, "
        "and show no more than the photos.\n1 trial, 10 min from your start.",
        "Trial 1 of 1\nPicture: ",
        "[1:30 left] One person or two? (-3 surely two people ... 0 undecided ... 3 surely one person):",
        "Not right: two people.\nThe machine's similarity of both: +0.250 "
        "(-1 to 1, higher is more alike, by the machine).",
        "Ratings: -3 surely two people ... 0 undecided ... 3 surely one person. To rate with the keys 1 to 7, ",
        "The sitting is over: 1 of 1 trials have an answer.",
    ):
        assert words in seen.text
    assert seen.sizes == [(1340, 720)]
    assert names(service) == ["JoinCourse", "StartSession", "NextTrial", "NextTrial", "SubmitDecision", "NextTrial"]
    start = service.calls("StartSession")[0]
    assert (start.code, start.sitting, start.consent) == ("s3cret", "day-1", True)
    assert [one.begin_block for one in service.calls("NextTrial")] == ["", "b1", ""]
    (given,) = decisions(service)
    assert (given.rating.rating, given.rating.p_same, given.difficulty, given.known_to_me) == (2, 0.8, 4, False)
    assert (given.session_id, given.trial_id, given.step) == ("secret-session", "t1", training_pb2.TRIAL_STEP_RATE)


def test_on_a_terminal_lines_break_between_words_and_in_no_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "When you have finished, `fr train report get --code -` writes your report to a folder."
    run.say(line)
    assert capsys.readouterr().out == f"{line}\n"
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    run.say(line)
    assert capsys.readouterr().out.splitlines() == [
        "When you have finished,",
        "`fr train report get --code -`",
        "writes your report to a",
        "folder.",
    ]


def test_each_exercise_asks_its_own_question(taken: Taken) -> None:
    service = ScriptedTraining(
        [
            trial("CHOOSE", [picture(one) for one in "xyz"], exercise="TRIAD"),
            trial("TRIAGE", PAIR[:1], exercise="TRIAGE", trial_id="t2"),
            trial("RATE", PAIR, trial_id="t3"),
        ]
    )
    seen = taken(service, *BEGIN, "4", "3", "r", "r13", "9", "1", style=Style(Scale.SEVEN, short=True))
    odd, photo, pair = decisions(service)
    assert odd.odd_picture_id == "z"
    assert photo.quality == training_pb2.QualityDecision(
        usability=training_pb2.USABILITY_REJECT,
        reasons=[training_pb2.DEGRADATION_BLUR, training_pb2.DEGRADATION_RESOLUTION],
    )
    assert (pair.rating.rating, pair.rating.HasField("p_same"), pair.HasField("difficulty")) == (-3, False, False)
    assert "Ratings: 1 surely two people ... 4 undecided ... 7 surely one person. Give --keys 1-7 again" in seen.text
    assert "Then answer.\nYour keys are 1 to 7: type 1 for -3, 4 for 0, and 7 for 3.\n" in seen.text
    assert "Give reasons, too, such as r1: 1 blur, 2 noise" in seen.text
    newer = trial("RATE", PAIR)
    newer.step = 99  # type: ignore[assignment]
    with pytest.raises(Unusable, match="newer than this command"):
        taken(ScriptedTraining([newer]), *BEGIN, "1")


def test_a_lab_asks_for_a_prediction_then_shows_the_table(taken: Taken) -> None:
    first, second = trial("PREDICT", [], exercise="LAB"), trial("CONCLUDE", [], exercise="LAB", trial_id="t2")
    first.question.text = "How many?"
    second.question.text = "Which row?"
    second.question.columns.extend(["row", "threshold", "missed"])
    for cells in (["1", "0.25", "3 of 40"], ["2", "0.5", "12 of 40"]):
        second.question.rows.add(cells=cells)
    service = ScriptedTraining([first, second])
    seen = taken(service, *BEGIN, "many", "101", "0,5 %", "3", "-1", "0", style=Style(short=True))
    predicted, concluded = decisions(service)
    assert predicted.prediction.percent == 0.5
    assert (concluded.WhichOneof("answer"), concluded.conclusion.row) == ("conclusion", 0)
    assert "three programs" not in seen.text
    assert "How many?\nYour prediction, in percent (0 to 100):" in seen.text
    assert "row  threshold  missed\n1    0.25       3 of 40\n2    0.5        12 of 40\nWhich row?" in seen.text
    assert seen.text.count("Type a number of percent from 0 to 100") == 2
    assert seen.text.count("Type the number of a row, 1 to 2, or 0 for none.") == 2


def test_evidence_is_kept_as_files_while_it_is_asked_for(taken: Taken, tmp_path: Path) -> None:
    original = face(RED)
    trials = [
        trial(step, [picture("x", data=original)], exercise="EVIDENCE") for step in ("HASH", "DERIVE", "CONCLUDE")
    ]
    for number, one in enumerate(trials):
        one.trial_id = f"t{number}"
        one.question.text = f"Question {number}"
    trials[2].question.files.add(name="trial-records.jsonl", text="{}\n")
    trials[2].question.files.add(name=".profile", text="rm -r .\n")
    typed = ("abc", f"{'A' * 64}  original.jpg", "b" * 64, "many", "12")
    service = ScriptedTraining(trials)
    seen = taken(service, *BEGIN, *typed, style=Style(short=True))
    first, second, third = decisions(service)
    assert (first.file_hash.sha256, second.file_hash.sha256, third.conclusion.row) == ("a" * 64, "b" * 64, 12)
    assert "Have three programs at hand before you begin" in seen.text
    assert seen.text.count(f"File: {tmp_path / 'p' / 'trial-original.jpg'}") == 1
    assert seen.text.count(f"File: {tmp_path / 'p' / 'trial-records.jsonl'}") == 1
    assert seen.text.count("File: ") == 2
    assert "A SHA-256 has 64 hexadecimal digits: paste what `sha256sum FILE` prints." in seen.text
    assert "Type the number of a record, such as 3, or 0 if the chain is whole." in seen.text


def test_a_lesson_is_read_answered_and_explained(taken: Taken, tmp_path: Path) -> None:
    page = training_pb2.LessonPage(lesson_title="Errors", title="Two kinds", text="Read **this**.\n\n![a](figure:f)")
    page.figures.add(name="f", alt="Two hills.", caption="Scores.", svg="<svg/>")
    read, asked = trial("READ", exercise="LESSON"), trial("ANSWER", exercise="LESSON")
    for one in (read, asked):
        one.lesson.CopyFrom(page)
    asked.lesson.question = "Which?"
    for option_id in ("aa", "bb"):
        asked.lesson.options.add(option_id=option_id, text=f"Option {option_id}")
    reveal = training_pb2.Reveal(correct=True, text="Right.")
    reveal.options.add(option_id="bb", text="Option bb", reason="Because.", right=True)
    service = ScriptedTraining([read, asked], reveal)
    seen = taken(service, *BEGIN, "", "t", "3", "2", "", style=Style(short=True, language="fr"))
    first, second = decisions(service)
    assert (first.read, second.option_id, second.language) == (True, "bb", "fr")
    assert service.calls("NextTrial")[0].language == "fr"
    assert seen.text.count("Errors: Two kinds") == 2  # t shows it again
    assert "Scores. Two hills." in seen.text
    assert f"File: {tmp_path / 'p' / 'trial-figure-f.svg'}" in seen.text
    assert "Type a number from 1 to 2." in seen.text
    assert "Which?\n1  Option aa\n2  Option bb\n" in seen.text
    assert "1  Option bb  \u2713\n   Because." in seen.text


def test_a_sitting_does_not_begin_without_consent_or_ends_before_its_last_trial(taken: Taken) -> None:
    for answer in ((), ("n",), ("",)):
        service = rating()
        seen = taken(service, *answer)
        assert (seen.status, names(service), "Nothing has begun." in seen.text) == (1, ["JoinCourse"], True)
    for lines, interrupted, status, last, words in (
        ((), False, 1, "PauseSession", "The answers ended before the sitting."),
        ((), True, 130, "PauseSession", "the same command continues"),
        (("f", "y"), False, 0, "FinishSession", "The sitting is ended: 0 of 1 trials have an answer."),
    ):
        service = rating()
        seen = taken(service, *BEGIN, *lines, interrupted=interrupted)
        assert (seen.status, names(service)[-1], words in seen.text) == (status, last, True)


def test_whom_the_trainee_knows_is_told_with_every_step_of_the_trial(taken: Taken) -> None:
    advice = training_pb2.Advice(same=True, text="The machine leans towards: same person. It can be wrong.")
    first, again = (trial("RATE", PAIR, exercise="AIDED"), trial("RATE_AGAIN", PAIR, exercise="AIDED", advice=advice))
    service = ScriptedTraining([first, again, trial("RATE", PAIR, trial_id="t2")])
    seen = taken(service, *BEGIN, "k", "1", "50", "2", "90", "5", "0", "", "", style=Style())
    told = [(one.rating.rating, one.known_to_me, one.difficulty) for one in decisions(service)]
    assert told == [(1, True, 0), (2, True, 5), (0, False, 0)]
    assert not decisions(service)[0].HasField("difficulty")  # an aided trial is not over yet
    assert "The machine's opinion: The machine leans towards: same person." in seen.text
    assert len(seen.sizes) == 1  # the same two photos in all three


def test_candidates_come_after_the_notes(taken: Taken) -> None:
    probe = picture("p", "PROBE")
    candidates = [picture(one, "CANDIDATE", face(GREEN)) for one in ("a", "b", "c")]
    note = trial("NOTE", [probe], exercise="CANDIDATES")
    steps = [note, trial("DECIDE", [probe, *candidates], exercise="CANDIDATES")]
    reveal = training_pb2.Reveal(correct=True, text="Right: candidate 2 is the person searched for.", picture_id="b")
    service = ScriptedTraining(steps, reveal)
    seen = taken(service, *BEGIN, "", "a scar", "k", "wide-set eyes", "", "-3", "3 0 1", "3", "3 3", "-1", "4", "2", "")
    assert [one.notes for one in service.calls("LockNotes")] == ["a scar\nwide-set eyes"]
    (given,) = decisions(service)
    assert given.candidates.picture_id == "b"
    assert dict(given.candidates.ratings) == {"a": -3, "b": 3, "c": -1}
    assert given.known_to_me
    assert "Write at least one line" in seen.text
    assert "These are 3 ratings, and 2 candidates are left to rate." in seen.text
    assert "These are 2 ratings, and 1 candidate is left to rate." in seen.text
    assert "Type the number of a candidate, 1 to 3, n for none of them, or i for inconclusive." in seen.text
    assert seen.sizes[0][0] < seen.sizes[1][0]
    for typed, kind in (("n", "none"), ("i", "inconclusive")):
        service = ScriptedTraining(steps)
        taken(service, *BEGIN, "x", "", "0 0 0", typed)
        assert decisions(service)[0].candidates.WhichOneof("decision") == kind


def test_components_are_observed_one_by_one_and_one_may_go_back(taken: Taken) -> None:
    part = training_pb2.Component
    parts = [part(component_id=one, name=one.title(), look_at=f"The {one}.") for one in ("nose", "ears")]
    observe = trial("OBSERVE", PAIR, exercise="FEATURES", components=parts)
    service = ScriptedTraining([observe, trial("RATE", PAIR, exercise="FEATURES")])
    seen = taken(service, *BEGIN, "b", "s8", "b", "d2", "n", "-2")
    (notes,) = service.calls("LockNotes")
    assert [(one.component_id, one.comparison, one.similarity) for one in notes.observations] == [
        ("nose", training_pb2.COMPARISON_DIFFERENT, 2),
        ("ears", training_pb2.COMPARISON_NOT_VISIBLE, 0),
    ]
    assert "2 of 2, Ears (The ears.):" in seen.text
    assert decisions(service)[0].rating.rating == -2


def test_an_own_probe_is_sent_and_shown_beside_its_candidates(taken: Taken, tmp_path: Path) -> None:
    photo = tmp_path / "my probe.jpg"
    photo.write_bytes(face(RED, side=90))
    candidates = [picture(one, "CANDIDATE") for one in ("a", "b")]
    steps = [
        trial("SEND_PROBE", exercise="OWN_PROBE"),
        trial("NOTE", exercise="OWN_PROBE"),
        trial("DECIDE", candidates, exercise="OWN_PROBE"),
    ]
    service = ScriptedTraining(steps)
    service.refusals["SubmitProbe"] = ["NO_FACE"]
    seen = taken(service, *BEGIN, "", str(tmp_path / "none.jpg"), str(photo), f"'{photo}'", "note", "", "0 0", "n")
    assert [one.image.data for one in service.calls("SubmitProbe")] == [photo.read_bytes()] * 2
    assert len(decisions(service)) == 1
    assert "none.jpg cannot be read: No such file or directory. Type the path of another." in seen.text
    assert len(seen.sizes) == 2  # the probe alone, then with the candidates
    assert seen.sizes[1][0] > 1200
    photo.write_bytes(b"a format that this machine does not know")
    service = ScriptedTraining([steps[0], trial("DECIDE", candidates[:1], exercise="OWN_PROBE")])
    seen = taken(service, *BEGIN, str(photo), "0", "1")
    assert decisions(service)[0].candidates.picture_id == "a"
    assert "cannot be shown here" in seen.text
    assert len(seen.sizes) == 1


def test_a_pause_in_the_midst_of_a_trial_keeps_what_was_typed(taken: Taken) -> None:
    service = ScriptedTraining([trial("NOTE", [picture("p", "PROBE")]), trial("RATE", PAIR)])
    taken(service, *BEGIN, "first", "p", "", "second", "", "p", "", "1")
    assert service.calls("LockNotes")[0].notes == "first\nsecond"
    assert names(service).count("PauseSession") == names(service).count("ResumeSession") == 2
    service = rating(PauseSession=["PAUSES_USED_UP"])
    assert "This block allows no more pauses" in taken(service, *BEGIN, "p", "2").text
    assert [one.rating.rating for one in decisions(service)] == [2]
    assert "ResumeSession" not in names(service)
    service = rating(SubmitDecision=["SESSION_PAUSED"], NextTrial=["SESSION_PAUSED"])  # from elsewhere
    taken(service, "y", "", "", "2", "")
    assert [one.rating.rating for one in decisions(service)] == [2, 2]
    assert names(service).count("ResumeSession") == 2


@pytest.mark.parametrize("reason", [LOST, "OVERLOADED", "SHUTTING_DOWN", "NOT_READY"])
def test_the_same_answer_is_sent_again_after_a_lost_connection(taken: Taken, reason: str) -> None:
    service = ScriptedTraining([trial("NOTE", [picture("p", "PROBE")]), trial("RATE", PAIR)])
    # The client itself calls again where the server refused to begin.
    times = 7 if reason in ("OVERLOADED", "SHUTTING_DOWN") else 2
    service.refusals["SubmitDecision"] = [reason] * times
    service.refusals["LockNotes"] = [LOST]
    seen = taken(service, *BEGIN, "note", "", "-2")
    sent = decisions(service)
    assert sent == [sent[0]] * (times + 1)
    assert len(service.calls("LockNotes")) == 2
    assert seen.slept[:2] == [1.0, 1.0]
    assert seen.text.count("is kept here, and is sent when the server is back") == 2
    assert seen.text.count("The server answers again.") == 2
    assert seen.status == 0
    if reason == "OVERLOADED":  # the server itself says so: only the lost connection before was a new one
        assert seen.connections == 2


def test_a_server_that_is_away_is_waited_for_and_come_back_to(taken: Taken) -> None:
    service = rating(SubmitDecision=[LOST, LOST])
    seen = taken(service, *BEGIN, "-2")
    # The server takes the time without it off the block when the session is started again, before the answer comes.
    assert names(service)[4:] == ["SubmitDecision", *["StartSession", "SubmitDecision"] * 2, "NextTrial"]
    assert not service.calls("StartSession")[-1].consent
    assert seen.slept == list(DELAYS_S[:2])
    assert seen.connections == 3  # gRPC itself would call a server that was long away again after minutes
    service = rating(SubmitDecision=[LOST] * 200)  # far longer than anybody would let a command try in the dark
    seen = taken(service, *BEGIN, "-2")
    assert (len(decisions(service)), seen.status) == (201, 0)
    assert set(seen.slept[3:]) == {DELAYS_S[-1]}
    assert seen.text.count("The server does not answer.") == seen.text.count("The server answers again.") == 1


def test_ctrl_c_ends_the_waiting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def impatient(delay_s: float) -> None:
        raise KeyboardInterrupt

    service = rating(SubmitDecision=[LOST] * 20, PauseSession=[LOST] * 20)
    monkeypatch.setattr(sys, "stdin", Keyboard([*BEGIN, "1"], False))
    with serving_training(service) as target, Client(target) as client, pytest.raises(typer.Exit) as ended:
        take(lambda: client.training, "s3cret", "", None, None, SHORT, impatient, REPORT)
    assert ended.value.exit_code == 130
    error = capsys.readouterr().err
    assert "You get the lost time back when you come back, if the block has a pause left." in error
    assert "the same command continues" in error


def test_only_time_with_a_connection_counts(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count(step=10)  # a clock that goes on by ten seconds whenever it is read
    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    seen = taken(rating(60, SubmitDecision=[LOST, LOST, "INVALID_RATING"]), *BEGIN, "1", "2")
    assert [line[:12] for line in seen.text.splitlines() if "left]" in line] == ["[0:50 left] "] * 2
    service = rating(60, SubmitDecision=["INVALID_RATING"])
    seen = taken(service, *BEGIN, "k", "1", "2")
    assert [(one.rating.rating, one.known_to_me) for one in decisions(service)] == [(1, True), (2, True)]
    assert len(seen.sizes) == 1


@pytest.mark.parametrize("reason", ["BLOCK_EXPIRED", "DECISION_LOCKED", "WRONG_STEP", "UNKNOWN_TRIAL"])
def test_a_trial_that_is_over_is_told_and_gone_on_from(taken: Taken, reason: str) -> None:
    service = rating(SubmitDecision=[reason])
    seen = taken(service, *BEGIN, "1", "2")
    assert [one.rating.rating for one in decisions(service)] == [1, 2]
    assert "Not now." not in seen.text  # the server's sentence, which is for programs
    assert trainee_text(FrApiError(StatusCode.FAILED_PRECONDITION, reason, "Not now.")) in seen.text
    assert seen.status == 0


def test_a_server_that_always_refuses_is_not_asked_for_ever(taken: Taken) -> None:
    service = rating(SubmitDecision=["WRONG_STEP"] * 50)
    with pytest.raises(FrApiError, match="Not now"):
        taken(service, *BEGIN, *["1"] * 50)
    assert len(decisions(service)) == 6
    with pytest.raises(FrApiError):
        taken(rating(SubmitDecision=["STORE_FAILED"]), *BEGIN, "1")


class Late(ScriptedTraining):
    """The time of its first block runs out at an answer; a second block follows, or the end."""

    def __init__(self, last: bool) -> None:
        super().__init__([trial("RATE", PAIR, left_s=60)])
        self.refusals["SubmitDecision"] = ["BLOCK_EXPIRED"]
        self.last = last

    def _sitting(self) -> training_pb2.Sitting:
        more = [] if self.last else [training_pb2.Block(block_id="b2", title="More", trials=2)]
        return training_pb2.Sitting(name="day-1", title="Day 1", blocks=[self._block(), *more])

    def _called(self, name: str, request: Any, context: Any) -> None:
        if name == "SubmitDecision":
            self.steps = []
        super()._called(name, request, context)

    def NextTrial(self, request: Any, context: Any) -> training_pb2.NextTrialResponse:  # noqa: N802
        if self.last or self.steps or request.begin_block:
            return super().NextTrial(request, context)
        self.requests.append(("NextTrial", request))
        begins = training_pb2.BlockToBegin(block=self._sitting().blocks[1], number=2, of=2)
        return training_pb2.NextTrialResponse(block=begins)


@pytest.mark.parametrize("last", [False, True])
def test_a_block_whose_time_ran_out_is_named(taken: Taken, last: bool) -> None:
    seen = taken(Late(last), *BEGIN, "1", "")
    assert "The time of this block is over: this answer does not count.\n" in seen.text
    assert seen.text.count("The time of block 1 (Pairs) ran out; 1 trial stays without an answer.") == 1


def test_a_probability_that_contradicts_the_rating_is_asked_once_more(taken: Taken) -> None:
    question = "Probability that both show one person, in percent: 0 surely two people, 50 undecided, 100 surely one"
    for typed, meant, told in (
        (("3", "10", "20"), 0.2, "Your rating says one person, and 10 % says two people. Your next answer counts."),
        (("-1", "90", ""), None, "Your rating says two people, and 90 % says one person. Your next answer counts."),
        (("-1", "50"), 0.5, ""),
        (("0", "1", "100"), 1.0, "In percent: 100 or 1? Type 100 or 1%."),
        (("2", "0,9", "90"), 0.9, "In percent: 90 or 0.9? Type 90 or 0.9%."),
    ):
        service = rating()
        seen = taken(service, *BEGIN, *typed, "", style=Style())
        (given,) = decisions(service)
        assert (given.rating.p_same if given.rating.HasField("p_same") else None) == meant
        assert seen.text.count(question) == len(typed) - 1
        assert told in seen.text
        assert ("counts" in told) == ("counts" in seen.text)


def test_a_server_that_starts_is_waited_for_in_silence(taken: Taken) -> None:
    seen = taken(rating(JoinCourse=[LOST, "NOT_READY"], StartSession=["NOT_READY"]), *BEGIN, "1")
    assert (seen.status, seen.connections, "The server" in seen.text) == (0, 4, False)
    assert seen.slept == [*FIRST_DELAYS_S[:2], FIRST_DELAYS_S[0]]


def test_a_block_that_was_begun_elsewhere_is_gone_on_with(taken: Taken) -> None:
    with pytest.raises(FrApiError):  # of the first call, which begins no block, nothing is to be understood
        taken(rating(NextTrial=["INVALID_FIELD"]), *BEGIN, "1")

    class Elsewhere(ScriptedTraining):
        def NextTrial(self, request: Any, context: Any) -> training_pb2.NextTrialResponse:  # noqa: N802
            if request.begin_block and not self.begun:
                self.begun = True
                self.refusals["NextTrial"] = ["INVALID_FIELD"]
            return super().NextTrial(request, context)

    service = Elsewhere([trial("RATE", PAIR)])
    assert taken(service, *BEGIN, "1").status == 0
    assert len(decisions(service)) == 1


def test_the_sitting_is_the_next_or_the_named_one(taken: Taken) -> None:
    service = rating()
    with pytest.raises(Unusable, match="it has: day-0, day-1"):
        taken(service, "y", sitting="day-2")
    assert "all sittings are finished" in taken(service, sitting="day-0").text
    service.state = training_pb2.SESSION_STATE_FINISHED
    assert "all sittings are finished" in taken(service).text
    assert "StartSession" not in names(service)
    service.state = training_pb2.SESSION_STATE_RUNNING
    assert taken(service, "", "1", sitting="day-1").status == 0
    assert len(decisions(service)) == 1


@pytest.mark.parametrize(
    ("words", "typed", "environment"),
    [(["--code", "s3cret"], "", {}), ([], "", {"FR_TRAINEE_CODE": "s3cret"}), ([], "s3cret\n", {})],
)
def test_a_code_is_taken_in_three_ways_and_shown_in_none(
    tmp_path: Path, words: list[str], typed: str, environment: dict[str, str]
) -> None:
    service = ScriptedTraining([trial("NOTE", [picture("p", "PROBE")]), trial("RATE", PAIR)])
    with serving_training(service) as target, ExitStack() as after:
        after.callback(os.umask, os.umask(0))
        more = ["--short", "--keys", "1-7", "--pictures", str(tmp_path / "p"), "--no-viewer"]
        typed += "y\n\nGröße \N{BULLET}\n\n7\n"
        code, out, error = fr_at(target, "train", "run", *words, *more, typed=typed, **environment)
    assert code == 0, error
    assert "s3cret" not in out + error
    assert service.calls("JoinCourse")[0].code == "s3cret"
    assert service.calls("LockNotes")[0].notes == "Größe \N{BULLET}"
    assert decisions(service)[0].rating.rating == 3
    assert f"Picture: {tmp_path / 'p' / 'trial.png'}" in out
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o700


@pytest.mark.parametrize("words", [["f", "y"], ["1"]])
def test_the_command_for_the_report_has_the_options_that_were_given(tmp_path: Path, words: list[str]) -> None:
    secrets = {"FR_TRAINEE_CODE": "s3cret", "FR_KEY": "frk_s3cret", "FR_CA": str(tmp_path / "no ca.pem")}
    typed = "\n".join([*BEGIN, *words]) + "\n"
    service = rating()
    with serving_training(service) as target:
        connection = tmp_path / "the class.toml"
        connection.write_text(f'server = "{target}"\nkey = "frk_s3cret"\n')
        connection.chmod(0o600)
        given = ["--connection", str(connection), "--timeout", "30"]
        more = ["train", "run", "--short", "--no-viewer", "--pictures", str(tmp_path / "p")]
        _, result, error = fr(*given, *more, typed=typed, **secrets)
        service.state = training_pb2.SESSION_STATE_FINISHED
        _, again, _ = fr(*given, *more, **secrets)
    command = f"`fr --timeout 30.0 --connection '{connection}' train report get --code - --out DIR` writes your report."
    assert command in result, error
    assert command in again
    assert "s3cret" not in result + again


def test_an_error_ends_the_command_with_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = ScriptedTraining()
    service.refusals["JoinCourse"] = ["UNKNOWN_TRAINEE"]
    with serving_training(service) as target:
        code, _, error = fr_at(target, "train", "run", "--code", "s3cret")
    words = "The server knows no such code. Type it as it is on your slip, or ask your trainer for a code."
    words += " `fr train cohort show COHORT` lists the ids, for a trainer."
    assert (code, error) == (1, f"UNKNOWN_TRAINEE: {words} (request id-1)\n")
    slept: list[float] = []
    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=time.monotonic, sleep=slept.append))
    code, _, error = fr_at("localhost:1", "train", "run", "--code", "s3cret", "--pictures", tmp_path)
    assert (code, error.partition(":")[0]) == (1, "UNREACHABLE")
    assert "Ask your trainer for its address" in error
    assert slept == list(FIRST_DELAYS_S)
    assert list(tmp_path.iterdir()) == []
