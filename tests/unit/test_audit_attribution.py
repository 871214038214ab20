"""To whom something is put down, and the pseudonyms that stand in for subjects and cases."""

from __future__ import annotations

import contextvars
import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor

import pytest

from fr_core.storage.audit.attribution import Attribution, attributed, current_attribution
from fr_core.storage.audit.pseudonyms import Pseudonyms
from fr_core.types import ModelId

KEY = bytes(range(32))
WHO = Attribution("key:k1", ("trainer", "examiner", "trainer"), "5b0c", "missing_person", "Case of Ada Lovelace")


def test_outside_of_calls_it_is_the_system() -> None:
    assert current_attribution() == Attribution("system")


def test_it_holds_in_its_block_and_comes_back() -> None:
    with attributed(WHO):
        with attributed(Attribution("key:k2")):
            assert current_attribution().actor == "key:k2"
        assert current_attribution() == WHO
    with pytest.raises(KeyError), attributed(WHO):
        raise KeyError
    assert current_attribution().actor == "system"


def test_it_rides_along_a_copied_context_and_not_into_other_threads() -> None:
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


def test_subjects_are_those_of_a_gallery() -> None:
    with pytest.raises(ValueError):
        WHO.entry(Pseudonyms(KEY), "gallery.search", subject_ids=("Ada",))


def test_a_pseudonym_is_the_beginning_of_an_hmac() -> None:
    expected = hmac.new(KEY, b"subject\0staff\0Ada", hashlib.sha256).hexdigest()[:16]
    assert Pseudonyms(KEY).subject("staff", "Ada") == expected


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
    assert ours.case("Ada") == Pseudonyms(KEY).case("Ada")


def test_kinds_do_not_overlap() -> None:
    for kind in ("case", "subject", "", "a\0b"):
        with pytest.raises(ValueError):
            Pseudonyms(KEY).other(kind, "x")
    with pytest.raises(ValueError):
        Pseudonyms(KEY).subject("a\0b", "c")
