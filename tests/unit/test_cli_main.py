"""The `fr` command itself: its options, the commands of other rooms, how errors end it, its hints and warnings."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from docs_pages import filled
from fr_api.v1 import access_pb2, error_reason_pb2
from fr_client.cli.admin.keys import APART, NEEDS, warnings_of
from fr_client.cli.main import build
from fr_client.cli.plugins import load_command
from fr_client.cli.state import REMEDIES
from fr_client.words import ROLES
from fr_server.authz.rules import OF_COURSES, OF_GALLERIES, Rule, ScopeKind
from fr_server.authz.table import RULES
from fr_trust.access.principal import Role
from support.cli import fr, fr_at
from support.scripted import Script, serving_trust

NOBODY = ["--server", "localhost:1", "--timeout", "2"]

# Runs `fr` in a Python that has only what the base of the distribution needs.
BASE_ONLY = """
import sys
EXTRAS = {"numpy", "cv2", "PIL", "faiss", "apsw", "onnxruntime", "openvino", "platformdirs", "scipy",
          "grpc_reflection", "grpc_status"}
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from fr_client.cli.main import main
main()
"""


COMMANDS = ["admin.keys", "gallery.search", "train.commands"]
# Runs `fr`, then prints which of these modules were imported.
IMPORTED = f"""
import sys
from fr_client.cli.main import main
try:
    main()
except SystemExit:
    print("", *(name for name in {COMMANDS} if "fr_client.cli." + name in sys.modules))
"""


def base_only(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BASE_ONLY, *words], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("words", "imported"), [("whoami --help", COMMANDS[:1]), ("--help", COMMANDS)])
def test_a_command_imports_no_other(words: str, imported: list[str]) -> None:
    command = [sys.executable, "-c", IMPORTED, *words.split()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines()[-1].split() == imported, ended.stderr


def test_the_help_works_with_the_base_alone_and_lists_every_command() -> None:
    ended = base_only("--help")
    assert ended.returncode == 0, ended.stderr
    for command in ("info", "enrol", "search", "gallery", "serve", "models", "evaluate"):
        assert f" {command} " in ended.stdout


@pytest.mark.parametrize(
    ("words", "code", "install"),
    [
        (("serve", "--port", "0"), 1, ".[cpu]"),
        (("server", "init", "nowhere/faces"), 1, ".[cpu]"),
        (("models", "list"), 1, ".[cpu]"),
        (("evaluate", "verification", "--dataset", "lfw"), 1, ".[cpu]"),
        (("gallery", "verify", "--data", "nowhere"), 1, ".[cpu]"),
        (("video", "nowhere.mp4"), 1, ".[video]"),
        (("train", "simulate", "--trainees", "10"), 2, ".[cpu]"),
        (("audit", "file", "verify", "nowhere.jsonl", "--public-key", "nowhere.pem"), 1, ".[verify]"),
        (("evidence", "verify", "nowhere.zip"), 1, ".[verify]"),
        ((*NOBODY, "detect", "x.jpg", "--draw", "y.png"), 1, "./client[draw]"),
    ],
)
def test_a_command_says_which_extra_it_needs(words: tuple[str, ...], code: int, install: str) -> None:
    ended = base_only(*words)
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
    assert f"pip install '{install}'" in ended.stderr


def test_the_page_of_commands_names_what_needs_extras() -> None:
    root = Path(__file__).parents[2]
    groups = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    needy = [
        f"{group.removeprefix('fr.').removesuffix('commands').removesuffix('_')} {name}".strip()
        for group, names in groups.items()
        for name in names
    ]
    intro = filled("commands", commands="")
    told = intro[intro.index("These commands need") : intro.index("All others")]
    with_less = intro[intro.index("| `web`, `lti`") :].partition("\n\n")[0]
    assert sorted(re.findall(r"`([a-z -]+)`", told + with_less)) == sorted(needy)


def test_without_the_core_its_commands_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    groups = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    monkeypatch.setattr("fr_client.cli.plugins.entry_points", lambda group: ())
    for group, names in groups.items():
        room = group.removeprefix("fr.").removesuffix("commands").removesuffix("_")
        for name in names:
            code, out, error = fr(*room.split(), name, "--some", "words")
            assert (code, out) == (1, "")
            assert f"`fr {room} {name}`".replace("  ", " ") in error
            assert "(fr-core is missing); in a clone of FR Core: pip install '.[" in error


def test_an_address_that_is_none_is_a_usage_error() -> None:
    for address in ("nonsense", ":50061", "host:port", "http://host:1/x y"):
        code, _, error = fr("--server", address, "info")
        assert (code, "HOST:PORT" in error) == (2, True)


@pytest.mark.parametrize("address", ["localhost:1", "[::1]:1", "dns:///localhost:1"])
def test_an_address_where_nobody_listens_is_one_sentence(address: str) -> None:
    code, out, error = fr("--server", address, "--timeout", "5", "info")
    assert (code, out) == (1, "")
    assert error.startswith(f"UNREACHABLE: No FR Core server answers at {address}.")
    assert len(error.splitlines()) == 1
    code, out, again = fr("--server", address, "--timeout", "5", "gallery", "list", "--json")
    document = {"reason": "UNREACHABLE", "code": "UNAVAILABLE", "metadata": {}, "request_id": ""}
    found = json.loads(out)["error"]
    assert (code, found, again) == (1, {**document, "message": found["message"]}, error)


@pytest.mark.parametrize(
    "words", [("detect", "nowhere.jpg"), ("compare", "nowhere.jpg", "b.jpg"), ("search", "g", "nowhere.jpg")]
)
def test_a_photo_that_is_not_there_is_one_sentence(words: tuple[str, ...]) -> None:
    code, out, error = fr(*NOBODY, *words, "--json")
    assert code == 1
    told = "nowhere.jpg cannot be read: No such file or directory."
    found = json.loads(out)
    assert found.pop("photo", "nowhere.jpg") == "nowhere.jpg"
    assert found == {"error": {"reason": "FILE_UNREADABLE", "message": told}}
    assert len(out.splitlines()) == 1
    assert error == f"FILE_UNREADABLE: {told}\n"


@pytest.mark.parametrize(
    "words",
    [
        ("detect",),
        ("search", "g", "a.jpg", "--threshold", "1.5"),
        ("compare", "a.jpg", "b.jpg", "--several-faces", "all"),
        ("compare", "a.jpg", "b.jpg", "--threshold", "0.5", "--target-fmr", "0.001"),
        ("search", "g", "a.jpg", "--target-fmr", "0.001", "--target-fpir", "0.01"),
        ("no-such-command",),
        ("--timeout", "0", "info"),
        ("gallery", "calibrate", "g"),
        ("gallery", "calibrate", "g", "calibration.json", "--remove"),
        ("report", "create", "identification", "lfw", "--sizes", "0"),
        ("report", "create", "identification", "lfw", "--sizes", "9" * 5000),
        ("key", "create", "--role", "admin", "--days", "0"),
        ("key", "create", "--role", "admin", "--out", "a", "--connection-file", "b"),
        ("key", "rotate", "k1", "--out", "a", "--connection-file", "b"),
        ("audit", "search", "--chain", "cases", "--subject", "s"),
        ("case", "search", "c1", "g", "a.jpg", "--threshold", "0.4", "--target-fmr", "0.1"),
        ("review", "submit", "e1", "--finding", "potential-candidate", "--template", "4"),
        ("review", "submit", "e1", "--finding", "no-candidate", "--template", "4"),
        ("review", "submit", "e1", "--finding", "inconclusive", "--rating", "0"),
        ("review", "submit", "e1", "--finding", "inconclusive", "--notes", "x", "--notes-file", "y"),
        ("train", "course", "create", "taster-90"),
        ("train", "probe", "set", "c1", "photo.jpg"),
        ("train", "probe", "set", "c1", "photo.jpg", "--identity", "Jane", "--absent"),
        ("train", "report", "get", "--out", "x"),
        ("train", "report", "get", "k1", "--trainee", "p1", "--out", "x"),
    ],
)
def test_wrong_usage_ends_before_anything_is_sent(words: tuple[str, ...]) -> None:
    code, _, error = fr("--server", "localhost:1", *words)
    assert (code, "Usage:" in error) == (2, True)


def run_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, value: str, *words: str) -> tuple[int, str]:
    module = value.partition(":")[0]
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    command = load_command(EntryPoint("extra", value, "fr.commands"))
    with pytest.raises(SystemExit) as ended:
        command.main(args=[*words], prog_name="fr extra")
    return int(str(ended.value.code or 0)), command.name


def test_commands_of_other_packages_run_or_say_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "import typer\napp = typer.Typer()\n@app.command()\ndef one() -> None:\n    print('done')\n"
    source += "@app.callback()\ndef _all() -> None: ...\n"
    assert run_entry(tmp_path, monkeypatch, source, "room_of_groups:app", "one") == (0, "extra")
    assert capsys.readouterr().out == "done\n"
    source = "import a_package_that_nobody_has\n"
    assert run_entry(tmp_path, monkeypatch, source, "room_without_extra:app", "--any", "thing")[0] == 1
    assert "needs the server's packages (a_package_that_nobody_has is missing)" in capsys.readouterr().err
    source = "from fr_core.no_such_room import thing\n"
    assert run_entry(tmp_path, monkeypatch, source, "room_with_a_defect:app")[0] == 1
    assert "cannot be loaded: No module named 'fr_core.no_such_room'" in capsys.readouterr().err


def tree(command: Any, name: str, parent: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    yield name, tuple(option for parameter in command.params for option in parameter.opts)
    for child in (*getattr(command, "commands", {}), *getattr(command, "late", {})):
        yield from tree(command.get_command(context, child), f"{name} {child}", context)


@cache
def commands() -> dict[str, tuple[str, ...]]:
    """The commands of the client, each with its options."""
    return dict(tree(get_command(build()), "fr", None))


@pytest.mark.parametrize("reason", REMEDIES)
def test_what_a_hint_names_is_there(reason: str) -> None:
    hint = REMEDIES[reason]
    own = {"UNREACHABLE", "TIMED_OUT", "CLIENT_CERTIFICATE_MISSING", "TLS_REQUIRED"}  # reasons of the client
    assert reason in own or f"ERROR_REASON_{reason}" in error_reason_pb2.ErrorReason.keys()  # noqa: SIM118 - no dict
    quoted = re.findall(r"`([^`]+)`", hint.sentence)
    for words in quoted:
        name = re.match(r"[a-z ]+[a-z]", words)
        assert name is not None
        assert set(re.findall(r"--[a-z-]+", words)) <= set(commands()[name[0]])
    outside = re.findall(r"--[a-z-]+", re.sub(r"`[^`]+`", "", hint.sentence))
    assert set(outside) == set(hint.options)
    assert quoted or any(set(hint.options) <= set(options) for options in commands().values())


def test_the_line_of_an_error_ends_with_what_to_type(tmp_path: Path) -> None:
    script = Script()
    script.refusals["RotateKey"] = ["UNKNOWN_KEY"]
    script.refusals["CloseCase"] = ["UNKNOWN_CASE"]
    script.refusals["WhoAmI"] = ["CREDENTIAL_MISSING"]
    script.refusals["SearchInCase"] = ["SEVERAL_FACES", "PURPOSE_REQUIRED"]
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"a photo")
    search = ("case", "search", "c", "g", photo)
    with serving_trust(script) as target:
        for words, said in (
            (
                ("key", "rotate", "k"),
                "UNKNOWN_KEY: Not now. `fr key list` lists them, for an admin; `fr whoami` names yours.",
            ),
            (("whoami",), "CREDENTIAL_MISSING: Not now. `fr --connection FILE` takes the key from a connection file."),
            (
                ("case", "close", "2026-014"),
                "UNKNOWN_CASE: Not now. `fr case list` lists them. CASE is the id of a case, not its reference.",
            ),
            (
                search,
                "SEVERAL_FACES: Not now. The option is --several-faces largest; `fr search --several-faces all` "
                "searches each face.",
            ),
            (search, "PURPOSE_REQUIRED: Not now."),  # a case has its purpose: the command has no such option
        ):
            assert fr_at(target, *words)[::2] == (1, f"{said} (request id-1)\n")


def test_whoami_shows_the_id_that_the_commands_on_keys_take() -> None:
    script, budget = Script(), access_pb2.Budget(requests_per_s=1e6, burst=1_000_000)
    script.answers["WhoAmI"] = [
        access_pb2.WhoAmIResponse(principal_id="key:k3j9", roles=[access_pb2.ROLE_ADMIN], budget=budget)
    ]
    with serving_trust(script) as target:
        rows = dict(re.split(r" {2,}", line.strip(), maxsplit=1) for line in fr_at(target, "whoami")[1].splitlines())
    assert (rows["Key ID"], rows["Calls"], rows["Searches"]) == ("k3j9", "no limit", "no limit")


@pytest.mark.parametrize("words", [("--help",), ("search", "--help")])
def test_help_shows_no_type_of_a_flag(words: tuple[str, ...]) -> None:
    code, out, _ = fr(*words)
    assert (code, "<bool>" in out) == (0, False)


def test_wrong_words_are_told_in_words_of_this_command() -> None:
    code, _, error = fr("search", "g", "a.png", "--purpose", "fun")
    assert (code, "Value error" in error, "'fun' is not one of" in error) == (2, False, True)
    code, _, error = fr("compare", "a.png")
    assert (code, "Name the photo to compare A with" in error) == (2, True)


def key(*roles: str, galleries: tuple[str, ...] = ("*",), courses: tuple[str, ...] = ("*",)) -> access_pb2.ApiKey:
    return access_pb2.ApiKey(roles=[ROLES[role] for role in roles], galleries=galleries, courses=courses)


def options_of(rule: Rule) -> set[str]:
    """Options whose absence leaves a call nothing to act on."""
    kinds = {scoped.kind for scoped in rule.scoped}
    found = {"--gallery"} if kinds & {ScopeKind.GALLERY, *OF_GALLERIES} else set()
    return found | ({"--course"} if kinds & {ScopeKind.COURSE, *OF_COURSES} else set())


@pytest.mark.parametrize("pair", list(combinations(ROLES, 2)), ids="-".join)
def test_roles_that_check_each_other_are_doubtful(pair: tuple[str, str]) -> None:
    checked = [("operator", "examiner"), ("operator", "admin"), ("examiner", "admin"), ("trainee", "trainer")]
    apart = "auditor" in pair or pair in checked
    doubts = warnings_of(key(*pair))
    assert len(doubts) == apart
    assert all(f"{' and '.join(sorted(pair))}: {APART[frozenset(pair)]}." in doubt for doubt in doubts)


@pytest.mark.parametrize(
    ("role", "galleries", "courses", "doubtful"),
    [
        ("trainee", True, False, False),
        ("trainee", False, False, True),
        ("trainer", True, False, True),
        ("operator", False, True, True),
        ("examiner", False, True, True),
        ("admin", True, False, False),
        ("admin", False, False, True),
        ("auditor", False, False, False),
    ],
)
def test_a_role_without_scope_is_doubtful(role: str, galleries: bool, courses: bool, doubtful: bool) -> None:
    newer: Any = 99
    assert warnings_of(access_pb2.ApiKey(roles=[newer])) == []  # a role of a newer server
    made = key(role, galleries=("g",) if galleries else (), courses=("c",) if courses else ())
    assert len(warnings_of(made)) == doubtful
    assert all(f"the role {role} has nothing to act on without --" in doubt for doubt in warnings_of(made))


@pytest.mark.parametrize("role", NEEDS)
def test_the_options_that_a_role_needs_are_those_of_its_calls(role: str) -> None:
    calls = [rule for rule in RULES.values() if Role(role) in rule.roles and rule.roles != frozenset(Role)]
    used = set[str]().union(*map(options_of, calls))
    # An admin also makes keys for courses, which no call of its own names.
    assert set(NEEDS[role]) == used | ({"--course"} if role == "admin" else set())
