"""The page of sizes: its arithmetic, its sources, and the bytes of a template in a real PostgreSQL."""

import re

import numpy as np
import pytest

from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.outside import size_bytes
from fr_core.types import Embedding, ModelId
from support.commands import page
from support.postgres import Cluster

PAGE = page("docs/sizing.md")
MODEL = ModelId("m", "1", "0" * 64)
SIZES = (10**6, 10**7, 10**8, 10**9)


def number(text: str) -> float:
    return float(text.replace(",", ""))


def rows() -> dict[str, list[float]]:
    table = PAGE.split("## Bytes")[1].split("## Time")[0]
    cells = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return {name: list(map(number, values)) for name, *values in cells[2:]}


def test_the_table_multiplies_right() -> None:
    assert len(rows()) == 9
    for name, (each, *found) in rows().items():
        for templates, told in zip(SIZES, found, strict=True):
            assert told == pytest.approx(each * templates / 1e9, rel=0.005), name


def test_measured_bytes_are_those_of_the_results() -> None:
    gallery = page("benchmarks/results/gallery-1000000.md")
    (memory,) = re.findall(r"memory of the server \| ([\d,]+) MiB", gallery)
    (folder,) = re.findall(r"data folder \| ([\d,]+) MiB", gallery)
    (compact,) = re.findall(
        r"\| compact \| 1.0000 \| [\d.]+ \| \S+ \| (\d+) \|", page("benchmarks/results/search-compact-1000000.md")
    )
    found = {name: values[0] for name, values in rows().items()}
    assert found["memory of the index `compact`"] == number(compact)
    assert found["memory of a whole server"] == pytest.approx(number(memory) * 2**20 / 1e6, rel=0.005)
    assert found["data folder (SQLite)"] == pytest.approx(number(folder) * 2**20 / 1e6, rel=0.005)
    assert "start: from NOT_SERVING to SERVING | 16.5 s" in gallery
    assert "enrolled, durable, a second | 14,200" in gallery
    among_8_million = page("benchmarks/results/search-compact-8000000.md")
    assert "| 8,000,000 | compact | 41.60 | 0.9884 | 1.0000 |" in among_8_million


def test_a_template_takes_as_many_bytes_of_postgresql_as_the_page_says(postgres: Cluster) -> None:
    database, values = postgres.database(), np.random.default_rng(1).normal(size=(2_000, 512))
    vectors = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    with Galleries.open(database, key=KeyEncryptionKey(bytes(range(32)))) as galleries:
        galleries.create("g", "", MODEL, 512)
        before, _ = size_bytes(database, SCHEMA)
        for start in range(0, len(vectors), 500):
            some = [
                Enrolment(
                    f"s{place:06d}",
                    NewTemplate(Embedding(vectors[place], MODEL), f"{place:064x}", 0.5),
                    f"Subject {place}",
                    {"site": "a"},
                )
                for place in range(start, start + 500)
            ]
            galleries.enrol_many("g", some)
        after, _ = size_bytes(database, SCHEMA)
    (told,) = (values[0] for name, values in rows().items() if name.startswith("PostgreSQL"))
    assert (after - before) / len(vectors) == pytest.approx(told, rel=0.15)  # small tables have pages to spare
