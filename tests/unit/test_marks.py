"""Setting the mark of a store while another process writes to it loses neither the mark nor the writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fr_core.embed.null import NULL_MODEL
from fr_core.errors import WrongKey
from fr_core.gallery.backup.verify import verify
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import DATABASE_NAME
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage.database import Database
from fr_core.storage.keys import load_key, new_key_file
from fr_core.storage.marks import is_marked, mark_of, set_mark
from fr_trust.access.schema import SCHEMA
from support.ledger import embedding

TIMES = 25
# Sets one mark after the other in another process; the last one stays.
MARKING = f"""
import sys
from pathlib import Path
from fr_core.storage.keys import load_key
from fr_core.storage.marks import set_mark
for number in range(1, {TIMES} + 1):
    set_mark(Path(sys.argv[1]), load_key(sys.argv[2]), bytes([number]) * 32)
"""


def test_a_mark_is_set_while_another_process_enrols(tmp_path: Path) -> None:
    key, source = new_key_file(tmp_path / "key"), f"file:{tmp_path / 'key'}"
    database = tmp_path / "data" / DATABASE_NAME
    with Galleries.open(tmp_path / "data", key=key, index="numpy") as galleries:
        galleries.create("g", "", NULL_MODEL, 64)
        with subprocess.Popen((sys.executable, "-c", MARKING, str(database), source)) as marking:
            enrolled = 0
            while marking.poll() is None:
                galleries.enrol("g", Enrolment(f"s{enrolled}", NewTemplate(embedding(enrolled))))
                enrolled += 1
        assert marking.returncode == 0
        galleries.enrol("g", Enrolment("last", NewTemplate(embedding(enrolled))))
    assert enrolled
    assert mark_of(database, key) == bytes([TIMES]) * 32
    assert verify(tmp_path / "data", key).templates == enrolled + 1
    with Galleries.open(tmp_path / "data", key=key, index="numpy") as galleries:
        assert galleries.get("g").template_count == enrolled + 1


def test_a_mark_is_in_the_database_itself_and_not_in_its_log_alone(tmp_path: Path) -> None:
    key = new_key_file(tmp_path / "key")
    database = Database(tmp_path / "data", SCHEMA, key, 0)
    path = tmp_path / "data" / SCHEMA.database_name
    assert (is_marked(path), mark_of(path, key)) == (False, b"")
    set_mark(path, key, b"m" * 32)
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(path.read_bytes())
    database.close()
    assert (is_marked(copy), mark_of(copy, key)) == (True, b"m" * 32)
    set_mark(path, key, b"")
    assert not is_marked(path)
    new_key_file(tmp_path / "other")
    with pytest.raises(WrongKey):
        mark_of(path, load_key(f"file:{tmp_path / 'other'}"))
