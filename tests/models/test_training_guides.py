"""The pages on training: each command and example is run as it is written, and the tables say what the code does."""

import csv
import html
import json
import re
import shlex
import signal
import ssl
import subprocess
import time
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fr_api.v1 import training_pb2_grpc
from fr_bench.speed.server_process import free_port
from fr_client import Client
from fr_client.cli.main import build
from fr_client.connection import read_connection
from fr_client.identity import Identity, open_channel, tls_credentials
from fr_core.packs.cache import ModelCache, cache_folder
from fr_core.scoring.likelihood import ratio_ceiling
from fr_locales.rendering import render
from fr_training.answers import RATINGS
from fr_training.bank.needs import needs
from fr_training.errors import PlanInvalid
from fr_training.exercises import EXERCISES
from fr_training.grading.evidence import words_of
from fr_training.grading.scores import Score, change_of_score
from fr_training.plan_reading import read_plan
from fr_training.prompts import ExerciseKind
from fr_training.shipped_plans import plan_names, plan_text
from fr_training.statistics.change import Change, Verdict
from fr_training.statistics.signal_detection import prevalence_ppv, sensitivity
from support.commands import BIN, REPOSITORY, START_S, Serving, blocks, commands, page, require_understood, rows
from support.counts import NIGHTLY
from support.courses import Chance, link_people, start, take
from support.faults import until
from support.servers import photo, running
from support.surfer import Surfer
from support.surfer import words as text_of
from support.web import Web

pytestmark = pytest.mark.models

START, TRAINERS, ENGINEERS, PLANS = (
    page(f"docs/{name}.md") for name in ("start-trainers", "trainer-guide", "training", "training-plans")
)
COURSE = START + TRAINERS
NAME = "192.168.1.10"
SET_UP = f"fr server init classroom --name {NAME}"
TAKING = 5  # so many that a report places a trainee among them
# What a trainee types: the code, consent, a block, three answers with a known face and a pause, goodbye; and later on.
FIRST = "{}\ny\n\n2\n80\n3\nk\n-3\n\n\np\n\n0\n\n\nq\n"
LATER = "{}\n\n-1\n\n\nq\n"
# Figures that the guide explains, as the pages of reports name them; of the taster, which has no triads.
FIGURES = (
    *('false "same"', "misses", "d'", "criterion c", "area under the ROC curve", "Cllr", "right picks", "foils"),
    *("false alarms", "misled", "helped", "shift of the criterion by the advice", "both together", "Brier score"),
    *("percentile in the cohort", "log-loss", "calibration error", "Opinions together", "published figure"),
)


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


class Classroom:
    """A folder with a home of its own, in which the commands of the guides are run."""

    def __init__(self, folder: Path, environment: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.environment = environment
        self.words: dict[str, str] = {}
        self.codes: list[str] = []
        self.server: Serving | None = None
        self.port = free_port()  # of the console
        self.log = folder / "server.log"

    def run(self, line: str, answers: str = "") -> str:
        """Run a command as it is written, but for the words that stand for one's own; return what it printed."""
        command, _, target = self.with_text(line).partition(" > ")
        result = CliRunner().invoke(build(), shlex.split(command)[1:], input=answers)
        assert result.exit_code == 0, f"{line}\n{result.output}"
        if target:
            (self.folder / target).write_text(result.stdout, "utf-8")
        return result.stdout

    def with_text(self, line: str) -> str:
        for word, value in self.words.items():
            line = line.replace(word, value)
        return line

    def set_up(self) -> None:
        assert SET_UP in commands(COURSE)
        self.run(f"{SET_UP.replace(NAME, '127.0.0.1')} --port {free_port()}")

    def serve(self, line: str) -> None:
        self.server = Serving(self.folder, shlex.split(line.replace("8080", str(self.port)))[2:])

    def client(self, connection: str) -> Client:
        place = read_connection(self.folder / connection)
        return Client(place.server, credentials=tls_credentials(place.ca.encode()), token=place.key)

    def take(self, code: str) -> None:
        place = read_connection(self.folder / "class.toml")
        identity = Identity(place.key, tls_credentials(place.ca.encode()))
        with open_channel(place.server, identity, []) as channel:
            stub = training_pb2_grpc.TrainingServiceStub(channel)
            list(take(stub, start(stub, code, "taster"), Chance()))

    def site(self) -> Web:
        return Web("127.0.0.1", self.port, ssl.create_default_context(cafile=self.folder / "classroom" / "ca.pem"))

    @contextmanager
    def watched(self, line: str) -> Iterator[list[str]]:
        """Watch a cohort while the block lasts; after it the lines that were told are there."""
        told: list[str] = []
        command = [str(BIN / "fr"), *shlex.split(self.with_text(line))[1:]]
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
            yield told
            time.sleep(1.5)  # the server looks twice a second
            watching.send_signal(signal.SIGINT)
            try:
                out, log = watching.communicate(timeout=30)
            finally:
                watching.kill()
        assert watching.returncode == 0, log
        told += out.splitlines()


@pytest.fixture
def classroom(tmp_path: Path, pack_cache: ModelCache, testdata: Path) -> Iterator[Classroom]:
    folder, models = tmp_path, cache_folder()
    (folder / "home").mkdir()
    (folder / "home" / "models").symlink_to(models)
    (folder / "london").symlink_to(testdata / "london")
    (folder / "photo.jpg").write_bytes((testdata / "london" / "001" / "001_03.jpg").read_bytes() + b"\0")
    with pytest.MonkeyPatch.context() as patch:
        room = Classroom(folder, patch)
        for name, value in {"FR_HOME": str(folder / "home"), "FR_SERVER": "", "COLUMNS": "200"}.items():
            patch.setenv(name, value)
        patch.setenv("FR__BATCHING__EMBEDDER_SIZES", "1")  # a start runs each of the sizes
        patch.setenv("FR__MODEL__DETECTION", "fast")  # photos of one large face
        patch.chdir(folder)
        room.set_up()
        room.serve(next(line for line in commands(COURSE) if line.startswith("fr serve ")))
        yield room
        if room.server is not None:
            room.server.kill()


def test_a_course_from_the_first_command_of_the_pages_to_the_last(classroom: Classroom) -> None:
    done = ("pip ", "python3 ", "fr serve ", SET_UP)
    todo = [line for line in commands(COURSE) if not line.startswith(done)]
    assert len(todo) == 27
    todo.sort(key=lambda line: ("delete" in line, " report " in line))  # reports when all have answered
    typed = iter((FIRST, LATER))
    for line in todo:
        if line.startswith("export "):
            classroom.environment.setenv(*line.removeprefix("export ").split("="))
        elif "--role trainee" in line:  # who answers by chance answers faster than people do
            classroom.run(f"{line} --requests-per-s 10000 --burst 10000")
        elif " train run " in line:
            assert "the same command continues" in classroom.run(line, next(typed).format(classroom.codes[0]))
        elif line.startswith("fr train cohort watch "):
            watch_them_take_it(classroom, line)
        else:
            note(classroom, line, classroom.run(line, f"{classroom.codes[1]}\n" if "--code -" in line else ""))
        if line.startswith("fr train cohort create "):
            lead_a_class_in_the_browser(classroom)
    assert next(typed, None) is None
    look_at_what_was_written(classroom.folder)
    with classroom.client("trainer.toml") as trainer, classroom.client("classroom/admin.toml") as admin:
        assert [*trainer.training.courses(), *trainer.training.cohorts(), *admin.list_galleries()] == []
    # A forecast takes as long as making the course, and by day the page is content to have its command understood.
    rest = [line for line in commands(PLANS) if line not in todo and (NIGHTLY or "--difficulty" not in line)]
    told = [classroom.run(line) for line in rest]
    assert (classroom.folder / "mine.toml").read_text() == plan_text("taster-90")
    assert "Enough" in told[-1]
    assert classroom.server is not None
    classroom.server.stop()
    log = classroom.log.read_text()
    assert "SubmitDecision OK" in log
    assert [word for word in (*classroom.codes, classroom.words["TRAINEE"], "photo.jpg") if word in log] == []


def note(classroom: Classroom, line: str, told: str) -> None:
    if line == "fr train course create taster-90 --dataset london":
        classroom.words["COURSE"] = re.findall(r"Course +([0-9a-f]{16})", told)[0]
    if line.startswith("fr train cohort create "):
        classroom.words["COHORT"] = re.findall(r"Cohort +([0-9a-f]{16})", told)[0]
        with (classroom.folder / "codes.csv").open(newline="") as file:
            given = list(csv.DictReader(file))
        classroom.codes = [one["code"] for one in given]
        classroom.words["TRAINEE"] = given[1]["trainee_id"]
        assert len(given) == 12


def lead_a_class_in_the_browser(classroom: Classroom) -> None:
    """Follow the start page through the console; each word in bold is on a page. The course is there already."""
    site = classroom.site()
    until(site.answers, START_S)
    staff, trainee = Surfer(site), Surfer(site)
    assert staff.sign_in(read_connection(classroom.folder / "classroom" / "admin.toml").key).status == 303
    assert staff.get("/keys").status == 200
    own, of_class = made_key(staff, "trainer", {}), made_key(staff, "trainee", {"days": "7"})
    staff.post("/sign-out", {})
    assert staff.sign_in(own).status == 303
    assert staff.get("/courses").status == 200
    assert "Comparing faces: a taster of 90 minutes" in text_of(staff.get("/courses/new"))
    draft = staff.post("/courses/new", {"dataset.london": "1", "plan": "taster-90"})
    assert "Make the course" in text_of(staff.get(draft.headers["location"]))
    course = f"/courses/{classroom.words['COURSE']}"
    assert staff.get(course).status == 200
    slips = text_of(staff.post(f"{course}/cohorts", {"name": "Browsers", "trainees": "2", "class_key": of_class}))
    codes = re.findall(r"Code: <code[^>]*>([^<]+)</code>", slips)
    classroom.codes += codes
    assert trainee.sign_in(of_class, codes[0]).status == 303
    assert "Check this screen" in text_of(trainee.get("/course"))
    assert trainee.post("/course", {"sitting": "taster", "consent": "1"}).status == 303
    sitting = "/course/sitting?name=taster"
    (block,) = re.findall(r'name="block" value="([^"]+)"', text_of(trainee.get(sitting)))
    assert trainee.post(sitting, {"block": block}).status == 303
    trainee.get(sitting)
    (cohort,) = {*re.findall(r'href="(/cohorts/[0-9a-f]+)"', slips)}
    assert "started: 1" in text_of(staff.get(cohort))
    section = START[START.index("## Make two keys") : START.index("1. **The sentences")]
    seen = "".join(text_of(one) for one in (*staff.received, *trainee.received))
    told = re.findall(r"\*\*([^*]+)\*\*", " ".join(section.split()))
    assert len(told) > 15
    assert [one for one in told if one not in seen] == ["Open the course, and look at its items", "Your result"]
    assert staff.post(f"{cohort}/delete", {"sure": "1"}).status == 303


def made_key(staff: Surfer, role: str, more: dict[str, str]) -> str:
    (number,) = re.findall(rf'name="role\.(\d+)" value="1"> {role}</label>', text_of(staff.get("/keys/new")))
    made = text_of(staff.post("/keys", {f"role.{number}": "1", "courses": "*", **more}))
    (secret,) = re.findall(r'id="secret"[^>]* value="([^"]+)"', made)
    return str(secret)


def watch_them_take_it(classroom: Classroom, line: str) -> None:
    with classroom.watched(line) as told, ThreadPoolExecutor(TAKING) as trainees:
        list(trainees.map(classroom.take, classroom.codes[1 : 1 + TAKING]))
    assert sum("finished, 61 of 61 answered" in one for one in told) == TAKING
    assert any("paused, test-before, 3 of 61 answered" in one for one in told)


def look_at_what_was_written(folder: Path) -> None:
    names = ("cohort-report", "trainee-report", "my-report")
    pages = [html.unescape((folder / name / "report.html").read_text("utf-8")) for name in names]
    assert [figure for figure in FIGURES if not any(figure in page for page in pages)] == []
    by_trainer, by_trainee = (json.loads((folder / name / "report.json").read_text()) for name in names[1:])
    assert by_trainer == by_trainee
    assert isinstance(by_trainer["standing"]["percentile_in_cohort"], float)
    with (folder / "answers.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 61 * TAKING + 5  # of the first trainee four answers, and a trial that was left
    assert [row["rating"] for row in found if row["known_to_me"] == "true"] == ["-3"]
    assert len(json.loads((folder / "statements.json").read_text())) == 61 * TAKING + 4
    assert len(json.loads((folder / "scores.json").read_text())) == 7 * TAKING + 1
    assert len(json.loads((folder / "certificates.json").read_text())) == TAKING
    assert (folder / "packages" / "2-lessons-fr-scorm-2004.zip").is_file()
    assert (folder / "debrief" / "deck.html").read_text("utf-8").count("<section>") > 4


def test_engineers_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FR_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    link_people(tmp_path / "people")
    (tmp_path / "probe.jpg").write_bytes(photo(6))
    example = page("examples/python/trainee.py")
    with running(tmp_path / "data") as server:
        exec(compile(example.replace("localhost:50061", server.address), "trainee.py", "exec"), {})
    printed = capsys.readouterr().out
    for words in ("kept under a pseudonym", "15 of 15 trials answered", "6 of 6 trials answered", "22 rows"):
        assert words in printed


def test_commands_extras_and_reasons_are_there() -> None:
    inline = [" ".join(one.split()) for one in re.findall(r"`(fr [^`]+)`", COURSE + ENGINEERS + PLANS)]
    assert len(inline) > 8
    for line in (*inline, *commands(COURSE + PLANS)):
        if line.startswith("fr "):
            require_understood(line)
    for place, expected in ((".", {"cpu", "report", "web"}), ("./client", {"draw"})):
        project = tomllib.loads((REPOSITORY / place / "pyproject.toml").read_text())["project"]
        named = {name for some in re.findall(rf"'{re.escape(place)}\[([a-z,]+)\]'", COURSE) for name in some.split(",")}
        assert named == expected <= project["optional-dependencies"].keys()
    readme, makefile = ((REPOSITORY / name).read_text("utf-8") for name in ("README.md", "Makefile"))
    assert "make demo-training\n" in readme
    assert "demo-training: " in makefile
    errors = (REPOSITORY / "docs" / "errors.md").read_text() + (REPOSITORY / "docs" / "datasets.md").read_text()
    cells = [row[0] for row in rows(TRAINERS, "reason | what to do")]
    reasons = [reason for cell in cells for reason in re.findall(r"`([A-Z_]{5,})`", cell)]
    assert len(reasons) > 6
    assert [one for one in reasons if f"`{one}`" not in errors] == [
        "UNREACHABLE",
        "SERVER_NAME_MISMATCH",
        "TLS_REQUIRED",
    ]  # which the client gives


def test_evidence_prevalence_and_change_are_computed_so() -> None:
    for pairs, ceiling, words in rows(TRAINERS, "pairs of one person and of two | ceiling"):
        same, different = map(int, pairs.split(" and "))
        assert ratio_ceiling(same, different, len(RATINGS)) == float(ceiling)
        assert render(words_of(float(ceiling))) == words
    shares = {"half of all": 0.5, "one in 10": 0.1, "one in 100": 0.01}
    told = dict(rows(TRAINERS, "pairs that show one person |"))
    assert {name: f"{prevalence_ppv(0.85, 0.15, share):.0%}" for name, share in shares.items()} == {
        name: cell.replace(" ", "") for name, cell in told.items()
    }
    found = sensitivity(8, 10, 2, 10).dprime
    between = f"between {found.low:.1f} and {found.high:.1f}"
    assert f"8 of 10 right of each kind gives {found.value:.1f}, and the truth may be {between}" in TRAINERS
    for number_of, points in ((20, 25), (40, 18)):
        unchanged = Score(number_of * 4 // 5, number_of)
        change = change_of_score(unchanged, unchanged)
        assert isinstance(change, Change)
        assert round(change.needed) == points
        assert all(0.02 < called_changed(number_of, right) < 0.08 for right in (0.7, 0.75, 0.8, 0.85))
    said = "At 80 % right that is 25 points with 20 pairs, and 18 with 40. Of a hundred trainees whose ability does not"
    assert f"{said} change, the report still calls about five" in " ".join(TRAINERS.split())


def called_changed(pairs: int, right: float) -> float:
    """The share of trainees of unchanged ability whom the verdict on the change of their score calls changed."""
    scores = np.random.default_rng(1).binomial(pairs, right, (2_000, 2)).tolist()
    found = [change_of_score(Score(before, pairs), Score(after, pairs)) for before, after in scores]
    return sum(isinstance(one, Change) and one.verdict != Verdict.NO_RELIABLE_CHANGE for one in found) / len(found)


def test_time_tables_and_needs_are_those_of_the_plans() -> None:
    (taster,) = read_plan(plan_text("taster-90")).sittings
    assert [(row[0], int(row[1])) for row in rows(TRAINERS, "at | minutes")] == [
        (f"{one.at // 60}:{one.at % 60:02}", one.minutes) for one in taster.timetable
    ]
    assert sum(one.minutes for one in taster.timetable) == 150
    told = {row[0].strip("`"): row[1:] for row in rows(page("docs/timetables.md"), "plan | sittings")}
    assert tuple(told) == plan_names()
    for name, (sittings, *numbers) in told.items():
        plan = read_plan(plan_text(name))
        wanted = needs(plan)
        assert re.findall(r"`([^`]+)`", sittings) == [one.name for one in plan.sittings]
        assert [number(one) for one in numbers] == [
            *(wanted.trials, wanted.minutes, wanted.people, wanted.people_with_two_photos)
        ]
    small, translations, slot = blocks(PLANS, "toml")
    plan = read_plan(small + translations)
    assert plan.in_language("fr").title == "Vingt paires avant, vingt après"
    with pytest.raises(PlanInvalid, match="and `starts` need `minutes` in each block"):
        read_plan(small.replace("[[sittings.blocks]]", f"{slot}[[sittings.blocks]]", 1))
    table = rows(PLANS, "form | people with two photos")
    assert {row[0].strip("`") for row in table[:-1]} == set(plan.forms())
    assert sum(int(row[1]) for row in table[:-1]) == int(table[-1][1]) == needs(plan).people_with_two_photos
    assert sum(int(row[3]) for row in table[:-1]) == int(table[-1][3]) == needs(plan).people
    assert "20 + 8 + 2 + 20 = 50 trials. That takes 30 minutes" in PLANS
    assert (needs(plan).trials, needs(plan).minutes) == (50, 30)


def test_groups_are_shown_the_forms_of_the_table() -> None:
    tests = "".join(
        f'[[sittings.blocks]]\nid = "{one}"\nexercise = "verification"\nsame = 10\ndifferent = 10\n'
        f'equated = "test"\noccasion = "{one}"\n'
        for one in ("pre", "post", "retention")
    )
    opinion = '[[sittings.blocks]]\nid = "opinion"\nexercise = "verification"\nsame = 1\ndifferent = 1\n'
    blind = '[[sittings.blocks]]\nid = "second"\nexercise = "blind"\nverifies = "opinion"\n'
    plan = read_plan(f'format = 1\ntitle = "T"\n[[sittings]]\nname = "s"\n{tests}{opinion}{blind}')
    told = [tuple(cell.strip("`") for cell in row[1:]) for row in rows(PLANS, "block | group 0")]
    assert told == [block.forms for block in plan.blocks]


BLOCK = {
    ExerciseKind.LOW_PREVALENCE: "same = 1\ndifferent = 10",
    ExerciseKind.TRIAD: "trials = 2",
    ExerciseKind.CANDIDATES: "size = 2\npresent = 1\nabsent = 1",
    ExerciseKind.TRIAGE: "usable = 1\nlimited = 1\nreject = 1",
    ExerciseKind.OWN_PROBE: "trials = 1\nsize = 2",
    ExerciseKind.EVIDENCE: "trials = 1",
    ExerciseKind.LESSON: 'lesson = "thresholds"',
    ExerciseKind.LAB: 'about = "threshold"\ntrials = 1',
    ExerciseKind.BLIND: 'verifies = "other"',
    ExerciseKind.AIDED: "same = 1\ndifferent = 1\nwrong = 1",
}


def one_block(exercise: ExerciseKind, extra: str = "", head: str = "") -> str:
    block = BLOCK.get(exercise, "same = 1\ndifferent = 1")
    given = {line.partition(" ")[0] for line in extra.splitlines()}
    block = "\n".join(line for line in block.splitlines() if line.partition(" ")[0] not in given)
    top = "" if head.startswith("format") else "format = 1\n"
    return (
        f'{top}{head}\ntitle = "T"\n[[sittings]]\nname = "s"\n[[sittings.blocks]]\nid = "b"\n'
        f'exercise = "{exercise}"\n{block}\n{extra}\n'
    )


def keys_of(toml: str) -> set[str]:
    with pytest.raises(PlanInvalid, match="It knows: ") as refused:
        read_plan(toml)
    listed = refused.value.message.partition("It knows: ")[2]
    return {key.split()[0].strip(".") for key in listed.split(", ")}


def first_cells(header: str) -> Iterator[tuple[str, list[str]]]:
    for cell, *rest in rows(PLANS, header):
        yield from ((key, rest) for key in re.findall(r"`([a-z_]+)`", cell))


@pytest.mark.parametrize("exercise", ExerciseKind)
def test_the_keys_of_a_block_are_those_of_the_page(exercise: ExerciseKind) -> None:
    section = PLANS[PLANS.index("\nThe keys of every exercise:") :]
    common = {key for row in rows(section, "key | value") for key in re.findall(r"`([a-z_]+)`", row[0])}
    own = {row[0].strip("`"): set(re.findall(r"`([a-z_]+)`", row[1])) for row in rows(PLANS, "`exercise` | keys")}
    assert own.keys() == set(ExerciseKind)
    extra = "adaptive = true\ntrials = 1\nqqqq = 1" if exercise == ExerciseKind.VERIFICATION else "qqqq = 1"
    left = {"equated"} if exercise == ExerciseKind.BLIND else set()
    assert keys_of(one_block(exercise, extra)) == (common - left) | own[exercise]


def test_keys_and_numbers_are_those_of_the_page() -> None:
    assert keys_of(one_block(ExerciseKind.TRIAD, head="qqqq = 1")) == {key for key, _ in first_cells("key | value")}
    sitting = PLANS[PLANS.index("\n## A sitting") :]
    toml = one_block(ExerciseKind.TRIAD).replace('name = "s"', 'name = "s"\nqqqq = 1')
    assert keys_of(toml) == {row[0].strip("`") for row in rows(sitting, "key | value")}
    slots = PLANS[PLANS.index("\n### A timetable") :]
    toml = one_block(ExerciseKind.TRIAD, 'minutes = 5\n[[sittings.slots]]\nkind = "talk"\nminutes = 5\nqqqq = 1')
    assert keys_of(toml) == {row[0].strip("`") for row in rows(slots, "key | value")}

    def plan(key: str, number: int) -> str:
        line = f"{key} = {number}"
        return one_block(ExerciseKind.TRIAD, head=line) if key in HEADS else one_block(NUMBERS[key][0], line)

    ends = {**HEADS, **{key: (low, high) for key, (_, low, high) in NUMBERS.items()}}
    for key, (low, high) in ends.items():
        for allowed in (low, high):
            read_plan(plan(key, allowed))
        for refused in (low - 1, high + 1):
            with pytest.raises(PlanInvalid):
                read_plan(plan(key, refused))
    told = dict(re.findall(r"\| `([a-z_]+)` \| (\d[\d a-z]*) \|", PLANS))
    assert told["seed"] == "0 to 4294967295"
    assert (told["retention_days"], told["minutes"], told["size"]) == ("1 to 3650", "1 to 240", "1 to 50")


HEADS: Mapping[str, tuple[int, int]] = {"seed": (0, 2**32 - 1), "retention_days": (1, 3650), "format": (1, 1)}
NUMBERS: Mapping[str, tuple[ExerciseKind, int, int]] = {
    "minutes": (ExerciseKind.TRIAD, 1, 240),
    "same": (ExerciseKind.FEATURES, 0, 999),  # and one of two people
    "trials": (ExerciseKind.TRIAD, 1, 1000),
    "size": (ExerciseKind.CANDIDATES, 1, 50),
    "present": (ExerciseKind.CANDIDATES, 0, 999),
    "usable": (ExerciseKind.TRIAGE, 0, 998),
    "wrong": (ExerciseKind.AIDED, 0, 2),
}


def test_defaults_steps_columns_and_keys_are_those_of_the_pages() -> None:
    plan = read_plan(one_block(ExerciseKind.CANDIDATES))
    (block,) = plan.blocks
    told = {key: rest[1] for key, rest in first_cells("key | value")}
    assert (told["seed"], told["retention_days"]) == (str(plan.seed), str(plan.retention_days))
    assert (told["mask"], told["colour"]) == (f'`"{plan.mask}"`', str(plan.colour).lower())
    assert (block.feedback, block.reveal_scores, block.target, block.minutes) == (False, True, 0.8, None)
    assert "| `target` | above 0.5, below 1 | 0.8 |" in PLANS
    steps_of = {
        kind: re.findall(r"`([A-Z_]+)`", steps)
        for kinds, steps, _ in rows(ENGINEERS, "exercise | steps")
        for kind in re.findall(r"`([a-z_]+)`", kinds)
    }
    assert steps_of == {kind: [step.name for step in one.steps] for kind, one in EXERCISES.items()}
