"""A gallery store of version 1, made with the statements that version 1 used."""

import zlib
from contextlib import closing
from pathlib import Path

import apsw
import numpy as np

from fr_core.gallery.store.gallery_store import DATABASE_NAME
from fr_core.gallery.store.schema import SCHEMA
from fr_core.types import F32, ModelId

MODEL = ModelId("null", "1", "0" * 64)
SIZE = 64
PEOPLE = 60


def vector(number: int) -> F32:
    values = np.random.default_rng(number).standard_normal(SIZE)
    return (values / np.linalg.norm(values)).astype(np.float32)


def old_database(folder: Path) -> apsw.Connection:
    folder.mkdir(exist_ok=True)
    connection = apsw.Connection(str(folder / DATABASE_NAME))
    connection.execute("PRAGMA page_size = 8192")
    connection.pragma("journal_mode", "wal")
    connection.execute("PRAGMA secure_delete = ON")
    return connection


def fill(folder: Path) -> None:
    """Make a store of version 1: two galleries, people with one or two templates, some of them deleted again."""
    with closing(old_database(folder)) as old:
        old.execute(f"PRAGMA application_id = {SCHEMA.application_id}; PRAGMA user_version = 1").fetchall()
        old.execute(str(SCHEMA.migrations[0])).fetchall()
        old.execute("BEGIN")
        for no, name in ((1, "g"), (2, "gone"), (3, "h"), (4, "gone too")):
            old.execute(
                "INSERT INTO galleries VALUES (?, ?, 'A gallery', 'null', '1', ?, ?, 5, 0, 0, 9)",
                (no, name, "0" * 64, SIZE),
            )
        old.execute("DELETE FROM galleries WHERE gallery_id LIKE 'gone%'")
        for number in range(1, PEOPLE + 1):
            gallery = 3 if number % 3 == 0 else 1
            metadata = '{"team":"red"}' if number % 2 else ""
            row = (number, gallery, f"person-{number}", f"Name {number}", metadata)
            old.execute("INSERT INTO subjects VALUES (?, ?, ?, ?, ?, 6)", row)
            for place in range(1 + number % 2):
                data = vector(2 * number + place).tobytes()
                image = f"{2 * number + place:064x}" if place else None
                old.execute(
                    "INSERT INTO templates (template_id, gallery_no, subject_no, image_sha256, quality, created_us, "
                    "vector_crc32, vector) VALUES (?, ?, ?, ?, ?, 7, ?, ?)",
                    (2 * number + place, gallery, number, image, 0.75 if image else None, zlib.crc32(data), data),
                )
        old.execute("INSERT INTO templates VALUES (1000, 1, 1, NULL, NULL, 7, 0, x'')")
        old.execute("DELETE FROM templates WHERE template_id = 1000")
        old.execute(
            "UPDATE galleries AS g SET subject_count = (SELECT count(*) FROM subjects s WHERE s.gallery_no = "
            "g.gallery_no), template_count = (SELECT count(*) FROM templates t WHERE t.gallery_no = g.gallery_no)"
        )
        old.execute("COMMIT")
