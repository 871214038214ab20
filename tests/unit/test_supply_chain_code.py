"""Product code runs nothing that it reads: no pickle, no eval, no shell; what is excepted is named, with the reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from lock_file import ROOT

ROOMS = ("fr_core", "server", "client", "datasets", "evaluation", "locales", "training", "trust", "benchmarks")

# Modules whose readers run what they read, or whose connections unpickle.
MODULES = {
    *(
        "pickle",
        "_pickle",
        "cPickle",
        "cloudpickle",
        "dill",
        "joblib",
        "marshal",
        "shelve",
        "jsonpickle",
        "runpy",
        "code",
    ),
    *("multiprocessing", "concurrent.futures.process", "torch", "pandas", "yaml"),
}
BUILTINS = {"eval", "exec", "compile", "__import__"}
# (object, method) of calls that run text or unpickle; "*" = of whatever.
CALLS = {
    ("os", "system"),
    ("os", "popen"),
    ("subprocess", "getoutput"),
    ("subprocess", "getstatusoutput"),
    ("asyncio", "create_subprocess_shell"),
    ("*", "ProcessPoolExecutor"),
    ("*", "read_pickle"),
    ("yaml", "load"),
}

EXCEPTIONS = {
    "server/fr_server/workers/messages.py: pickle": "messages between the processes of one server, over a socket pair "
    "that it made and no other process has; nothing of a client is unpickled, only values that a front-end parsed",
    "server/fr_server/workers/messages.py: multiprocessing": "the type of that connection",
    "server/fr_server/workers/process.py: multiprocessing": "makes that socket pair",
    "server/fr_server/workers/__main__.py: multiprocessing": "takes its end of that socket pair",
    "benchmarks/fr_bench/speed/child.py: multiprocessing": "a child of a measurement, fed by it alone",
    "benchmarks/fr_bench/speed/generator.py: multiprocessing": "a child of a measurement",
    "benchmarks/fr_bench/speed/peer.py: multiprocessing": "a child of a measurement",
    "benchmarks/fr_bench/speed/search_child.py: multiprocessing": "a child of a measurement",
    "benchmarks/fr_bench/speed/training_trainees.py: multiprocessing": "a child of a measurement",
}


def dangers(source: str) -> Iterator[str]:
    """What a source does that may run what it reads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (found for alias in node.names if (found := module(alias.name)))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield from dict.fromkeys(found for name in names if (found := module(name)))
            yield from (alias.name for alias in node.names if {(node.module, alias.name), ("*", alias.name)} & CALLS)
        elif isinstance(node, ast.Call):
            yield from call(node)
        elif isinstance(node, ast.Attribute) and ("*", node.attr) in CALLS:
            yield node.attr
        elif isinstance(node, ast.Name) and (node.id in BUILTINS or ("*", node.id) in CALLS):
            yield node.id


def module(name: str) -> str | None:
    """The module of `MODULES` that an imported name is, or is part of."""
    parts = name.split(".")
    return next((found for end in range(len(parts), 0, -1) if (found := ".".join(parts[:end])) in MODULES), None)


def call(node: ast.Call) -> Iterator[str]:
    function = node.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        if (function.value.id, function.attr) in CALLS:
            yield f"{function.value.id}.{function.attr}"
        if (function.value.id, function.attr) == ("importlib", "import_module"):
            yield from (str(arg.value) for arg in node.args if isinstance(arg, ast.Constant) and module(str(arg.value)))
    for keyword in node.keywords:
        says_no = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        if keyword.arg in ("allow_pickle", "shell") and not says_no:
            yield f"{keyword.arg}="
    # The third argument of numpy.load by place.
    if isinstance(function, ast.Attribute) and function.attr == "load" and len(node.args) > 2:
        yield "allow_pickle="


def sources() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")) if "site-packages" not in path.parts]


def test_product_code_runs_nothing_that_it_reads() -> None:
    paths = sources()
    assert len(paths) > 300
    found = {
        f"{path.relative_to(ROOT)}: {danger}" for path in paths for danger in dangers(path.read_text(encoding="utf-8"))
    }
    assert found == set(EXCEPTIONS)


@pytest.mark.parametrize(
    ("source", "danger"),
    [
        ("import numpy, pickle as p", "pickle"),
        ("from pickle import loads", "pickle"),
        ("from multiprocessing.connection import Connection", "multiprocessing"),
        ("from concurrent.futures import ProcessPoolExecutor as Pool", "ProcessPoolExecutor"),
        ("import concurrent.futures as f\nf.ProcessPoolExecutor()", "ProcessPoolExecutor"),
        ("from concurrent.futures import process", "concurrent.futures.process"),
        ("import importlib\nimportlib.import_module('dill')", "dill"),
        ("import numpy as np\nnp.load('a', allow_pickle=True)", "allow_pickle="),
        ("import numpy as np\nnp.load('a', None, True)", "allow_pickle="),
        ("import numpy as np\nnp.load('a', allow_pickle=False)", None),
        ("eval('1')", "eval"),
        ("f = exec", "exec"),
        ("import re\nre.compile('a')", None),
        ("import yaml\nyaml.load('a')", "yaml"),
        ("import subprocess\nsubprocess.run('a', shell=True)", "shell="),
        ("import os\nos.system('a')", "os.system"),
        ("from os import system", "system"),
        ("'pickle.loads'", None),
    ],
)
def test_the_scan_sees(source: str, danger: str | None) -> None:
    found = set(dangers(source))
    assert found == set() if danger is None else danger in found
