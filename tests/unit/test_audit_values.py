"""An audit record holds canonical bytes, and nothing that could be a name, a photo or a vector."""

import base64
import contextvars
import hashlib
import hmac
import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from fr_core.gallery.values import MAX_ID_LENGTH, MAX_TOP_K
from fr_core.storage.audit.attribution import Attribution, attributed, current_attribution
from fr_core.storage.audit.values import (
    MAX_BODY_BYTES,
    MAX_NUMBER,
    Entry,
    Pseudonym,
    Pseudonyms,
    Record,
    decimal_of,
    decode,
    encode,
    model_of,
)
from fr_core.types import ModelId

NAMES = ("Ada Lovelace", "Lovelace, Ada", "Müller", "李小龍", "O'Neill", "Ada\u00a0L", "")
PHOTO = bytes(range(256)) * 8
VECTOR = np.linspace(-1, 1, 128, dtype=np.float32)
OPTIONAL = ("request_id", "purpose", "case", "gallery", "model", "gallery_version", "threshold")


def entry(**more: Any) -> Entry:
    return Entry(**{"actor": "system", "action": "gallery.search", "outcome": "OK", **more})


def test_bytes_of_a_record_are_canonical() -> None:
    said = entry(roles=("auditor", "trainer"), gallery="staff", counts={"b": 2, "a": 1}, threshold="0.4")
    assert encode(said, 7, 1_790_000_000_000) == (
        b'{"action":"gallery.search","actor":"system","at_ms":1790000000000,"counts":{"a":1,"b":2},"gallery":"staff",'
        b'"outcome":"OK","roles":["auditor","trainer"],"seq":7,"threshold":"0.4","v":1}'
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff", b'{"v":1}', b"[" * 20_000, b" " * (MAX_BODY_BYTES + 1)])
def test_other_bytes_are_no_record(body: bytes) -> None:
    with pytest.raises(ValueError):
        decode(body)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *((b'"v":1', new) for new in (b'"v":2', b'"v":true', b'"v":1.0', b'"v": 1')),
        *((b'"v":1', more + b',"v":1') for more in (b'"counts":[]', b'"detail":null', b'"detail":{}')),
        *((b'"seq":7', b'"seq":' + new) for new in (b"7.0", b"0", b"-7", b'7,"seq":7')),
        (b'"seq":7', b'"name":"x","seq":7'),
        (b'"at_ms":9', b'"at_ms":NaN'),
        (b'"at_ms":9', b'"at_ms":9,"clock_ms":9'),
        (b'"OK"', b'"\\u004fK"'),
        *((b'["auditor"]', b"[" + new + b"]") for new in (b'"trainer","auditor"', b'"auditor","auditor"', b"")),
        (b'["auditor"]', b'"auditor"'),
    ],
)
def test_another_form_of_the_same_is_no_record(old: bytes, new: bytes) -> None:
    body = encode(entry(roles=("auditor",)), 7, 9)
    assert decode(body).seq == 7
    assert old in body
    with pytest.raises(ValueError):
        decode(body.replace(old, new))


def test_a_record_has_the_fields_that_were_agreed_on_and_no_others() -> None:
    assert {one.name for one in fields(Record)} == {
        *("seq", "at_ms", "clock_ms", "salt", "actor", "roles", "action", "outcome", "request_id", "purpose", "case"),
        *("gallery", "subjects", "model", "gallery_version", "threshold", "counts", "detail"),
    }


def test_the_longest_record_is_short() -> None:
    longest = Entry(
        actor=f"{'a' * 16}:{'k' * 64}",
        action=f"{'a' * 32}.{'b' * 32}",
        outcome="O" * 64,
        roles=tuple(f"{'r' * 15}{letter}" for letter in "abcdefgh"),
        request_id="r" * 64,
        purpose="p" * 64,
        case=Pseudonym("c" * 16),
        gallery="g" * MAX_ID_LENGTH,
        subjects=(Pseudonym("5" * 16),) * MAX_TOP_K,
        model="m" * 128,
        gallery_version=MAX_NUMBER,
        threshold="-1234567890.123456789",
        counts={f"{'c' * 31}{letter}": MAX_NUMBER for letter in "abcdefghijklmnop"},
        detail={f"{'d' * 15}{letter}": "=" * 16 for letter in "abcdefghijklmnop"},
    )
    body = encode(longest, MAX_NUMBER, MAX_NUMBER, MAX_NUMBER - 1)
    assert len(body) < MAX_BODY_BYTES
    said = json.loads(body)
    del said["subjects"]
    assert len(json.dumps(said)) < 3_000


@pytest.mark.parametrize(
    "what",
    [
        *NAMES,
        PHOTO,
        base64.b64encode(PHOTO).decode(),
        VECTOR,
        VECTOR.tolist(),
        ",".join(f"{x:.3f}" for x in VECTOR),
        base64.b64encode(VECTOR.tobytes()).decode(),
        VECTOR.astype(np.int8).tobytes().hex(),
        0.5,
        object(),
        {"name": "Ada"},
    ],
)
def test_no_field_takes_a_name_a_photo_or_a_vector(what: Any) -> None:
    for name in ("actor", "action", "outcome", *OPTIONAL):
        with pytest.raises(ValueError) as refused:
            entry(**{name: what})
        assert str(refused.value) == f"the {name} of a record holds what it cannot"
    for name in ("counts", "detail"):
        if not isinstance(what, dict):
            with pytest.raises(ValueError):
                entry(**{name: what})
    for name in ("roles", "subjects"):
        for many in (what, (what,)):
            with pytest.raises(ValueError):
                entry(**{name: many})
    with pytest.raises(ValueError):
        entry(counts={"found": what})
    if not isinstance(what, str) or what:
        with pytest.raises(ValueError):
            entry(detail={"found": what})
    if isinstance(what, (str, bytes)):
        for name, value in (("counts", 1), ("detail", "x")):
            with pytest.raises(ValueError):
                entry(**{name: {what: value}})


def test_a_vector_or_a_photo_in_pieces_does_not_fit_either() -> None:
    text = base64.b64encode(np.arange(512, dtype=np.int8).tobytes()).decode().rstrip("=")
    pieces = [text[start : start + 128] for start in range(0, len(text), 128)]
    assert entry(detail={"a": pieces[0]}).detail["a"] == pieces[0]
    with pytest.raises(ValueError):
        entry(detail={f"k{nth}": piece for nth, piece in enumerate(pieces)})
    with pytest.raises(ValueError):
        entry(detail={f"k{nth}": "" for nth in range(17)})
    with pytest.raises(ValueError):
        entry(counts={f"k{nth}": 1 for nth in range(17)})
    with pytest.raises(ValueError):
        entry(subjects=(Pseudonym("0" * 16),) * (MAX_TOP_K + 1))


@pytest.mark.parametrize("number", [True, -1, MAX_NUMBER + 1, 1.0])
def test_numbers_are_whole_and_limited(number: Any) -> None:
    for more in ({"gallery_version": number}, {"counts": {"found": number}}):
        with pytest.raises(ValueError):
            entry(**more)


def test_decimals_have_one_form() -> None:
    forms = {0.4: "0.4", -1.0: "-1", -0.0: "0", -1e-12: "0", 1e-5: "0.00001", 2 / 3: "0.666666667", 10: "10"}
    for number, form in forms.items():
        assert decimal_of(number) == form == entry(threshold=form).threshold
    for text in ("-0", "0.40", "1e-5", ".5", "1.", "0.1234567891", "nan"):
        with pytest.raises(ValueError):
            entry(threshold=text)
    for value in (math.nan, math.inf, -math.inf, 1e10):
        with pytest.raises(ValueError):
            decimal_of(value)


def test_a_model_of_any_name_can_be_told() -> None:
    known = ModelId("buffalo_l", "1+flip", "ab" * 32)
    assert model_of(known) == "buffalo_l@1+flip:abababababab"
    odd, other = ModelId("Ada's model", "1", "ab" * 32), ModelId("x" * 256, "1", "ab" * 32)
    assert model_of(odd) != model_of(other)
    for model in (known, odd, other):
        assert entry(model=model_of(model)).model == model_of(model)
    assert "Ada" not in model_of(odd)


KEY = bytes(range(32))
WHO = Attribution("key:k1", ("trainer", "examiner", "trainer"), "5b0c", "missing_person", "Case of Ada Lovelace")


def test_it_holds_in_its_block_and_in_copied_contexts() -> None:
    assert current_attribution() == Attribution("system")
    with attributed(WHO):
        with attributed(Attribution("key:k2")):
            assert current_attribution().actor == "key:k2"
        assert current_attribution() == WHO
    with pytest.raises(KeyError), attributed(WHO):
        raise KeyError
    assert current_attribution().actor == "system"
    with attributed(WHO), ThreadPoolExecutor(1) as pool:
        context = contextvars.copy_context()
        assert pool.submit(context.run, current_attribution).result() == WHO
        assert pool.submit(current_attribution).result().actor == "system"


def test_its_entry_says_who_and_why_under_pseudonyms() -> None:
    pseudonyms = Pseudonyms(KEY)
    said = WHO.entry(
        pseudonyms,
        "gallery.search",
        gallery_id="staff",
        subject_ids=("Ada", "Grace"),
        model=ModelId("sface", "1", "ab" * 32),
        gallery_version=3,
        threshold=0.4,
        counts={"candidates": 2},
        detail={"index": "numpy"},
    )
    assert (said.actor, said.roles, said.request_id) == ("key:k1", ("examiner", "trainer"), "5b0c")
    assert (said.action, said.outcome, said.purpose) == ("gallery.search", "OK", "missing_person")
    assert (said.model, said.gallery_version, said.threshold) == ("sface@1:abababababab", 3, "0.4")
    assert said.case == pseudonyms.case("Case of Ada Lovelace")
    assert said.subjects == (pseudonyms.subject("staff", "Ada"), pseudonyms.subject("staff", "Grace"))
    assert "Ada" not in repr(said)
    assert "Ada" not in repr(WHO)


def test_pseudonyms_differ_by_kind_gallery_id_and_key() -> None:
    ours, theirs = Pseudonyms(KEY), Pseudonyms(bytes(32))
    made = [
        ours.subject("staff", "Ada"),
        ours.subject("staf", "fAda"),
        ours.subject("visitors", "Ada"),
        ours.subject("staff", "ada"),
        ours.case("Ada"),
        ours.case("staff\0Ada"),
        ours.case("\ud800"),
        ours.other("trainee", "Ada"),
        theirs.subject("staff", "Ada"),
    ]
    assert len(set(made)) == len(made)
    assert made[0] == hmac.new(KEY, b"subject\0staff\0Ada", hashlib.sha256).hexdigest()[:16]
    assert ours.case("Ada") == Pseudonyms(KEY).case("Ada")
    for kind in ("case", "subject", "", "a\0b"):
        with pytest.raises(ValueError):
            Pseudonyms(KEY).other(kind, "x")
    with pytest.raises(ValueError):
        Pseudonyms(KEY).subject("a\0b", "c")
    with pytest.raises(ValueError):  # subjects are those of a gallery
        WHO.entry(Pseudonyms(KEY), "gallery.search", subject_ids=("Ada",))
