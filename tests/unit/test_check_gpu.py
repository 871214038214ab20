"""`make check-gpu`: its steps, and that one that fails or hangs keeps no other from running."""

import subprocess
import sys
from pathlib import Path

import pytest
from check_gpu import ROOT, Step, main, run, steps


def python(name: str, code: str, limit_s: float = 60, **variables: str) -> Step:
    return Step(name, (sys.executable, "-c", code), limit_s, variables)


HANGS = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_DFL); print('begun', flush=True); time.sleep(600)"
)


def test_every_step_runs_whatever_becomes_of_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    todo = [
        python("good", "import os; assert os.environ['A'] == 'b'", A="b"),
        python("bad", "import sys; print('why'); sys.exit(3)"),
        python("hanging", HANGS, 0.5),
        Step("missing", (str(tmp_path / "nothing"),), 60),
        python("last", "print('fine')"),
    ]
    states = {outcome.name: outcome.state for outcome in run(todo, tmp_path)}
    assert states == {"good": "ok", "bad": "FAILED", "hanging": "late", "missing": "FAILED", "last": "ok"}
    told = capsys.readouterr().err
    assert "  why" in told
    assert "No such file" in told
    assert "fine" not in told
    assert (tmp_path / "last.log").read_text() == "fine\n"


def test_steps_for_which_no_time_is_left_are_said_not_to_have_run(tmp_path: Path) -> None:
    outcomes = run([python("hanging", HANGS), python("other", "")], tmp_path, limit_s=0.5)
    assert [outcome.state for outcome in outcomes] == ["late", "not run"]


def test_the_steps_of_a_gpu_need_it_and_those_of_a_rehearsal_do_not(tmp_path: Path) -> None:
    of_gpu = {step.name: step for step in steps("gpu/bin/fr", "cuda:1", "buffalo_l", "lfw", tmp_path)}
    assert list(of_gpu) == ["driver", "libraries", "models", "tests", "accuracy", "speed"]
    assert of_gpu["tests"].variables == {"FR_GPU_REQUIRED": "1"}
    assert of_gpu["tests"].command[0] == "gpu/bin/python"
    assert of_gpu["models"].command[-2:] == ("--from", str(tmp_path))
    assert {"DEVICE=cuda:1", "PACK=buffalo_l", f"MODELS={tmp_path}", "BAR="} <= set(of_gpu["speed"].command)
    rehearsed = {step.name: step for step in steps("bin/fr", "cpu", "buffalo_s", "lfw", None)}
    assert list(rehearsed) == ["models", "tests", "accuracy", "speed"]
    assert not rehearsed["tests"].variables["FR_GPU_REQUIRED"]


def told_by_make(*arguments: str) -> str:
    done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return " ".join(done.stdout.replace("\\\n", "").split())


def test_make_hands_its_variables_on() -> None:
    told = told_by_make("check-gpu", "FR=gpu/bin/fr", "PACK=buffalo_s", "MODELS=kept")
    checked = (
        "gpu/bin/python tools/check_gpu.py --fr gpu/bin/fr --device cuda --pack buffalo_s --photos lfw --models kept"
    )
    assert checked in told
    assert "gpu/bin/fr models fetch buffalo_l --from kept" in told_by_make("bench-gpu", "FR=gpu/bin/fr", "MODELS=kept")
    assert "for index in gpu cuvs int8; do gpu/bin/fr bench search" in told_by_make("bench-gpu", "FR=gpu/bin/fr")
    assert "--from" not in told_by_make("bench-gpu", "FR=gpu/bin/fr")
    assert told_by_make("bench-gpu", "FR=gpu/bin/fr", "OUT=apart").count("--out apart") == 4
    assert "model.nhwc" not in told_by_make("bench-gpu", "FR=gpu/bin/fr", "DEVICE=tensorrt")


def test_a_command_is_needed() -> None:
    with pytest.raises(SystemExit):
        main([])
