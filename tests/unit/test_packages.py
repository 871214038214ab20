"""Packages of lessons keep the rules of SCORM 2004 and cmi5 for manifests, and their pages need nothing beside them."""

import json
import re
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import pytest
from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]

from fr_training.lessons import languages_of, lesson, lesson_names
from fr_training.packages import PackageFormat, package
from support.counts import NIGHTLY

CP, ADLCP = "{http://www.imsglobal.org/xsd/imscp_v1p1}", "{http://www.adlnet.org/xsd/adlcp_v1p3}"
SS = "{http://www.imsglobal.org/xsd/imsss}"
CMI5 = "{https://w3id.org/xapi/profiles/cmi5/v1/CourseStructure.xsd}"
SCORM_2004, BY_CMI5 = PackageFormat.SCORM_2004, PackageFormat.CMI5
BOTH = ("thresholds", "candidate-lists")


def files_of(names: tuple[str, ...], form: PackageFormat, *more: Any) -> dict[str, str]:
    with ZipFile(BytesIO(package(names, form, *more).content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def played(page: str) -> dict[str, Any]:
    (told,) = re.findall(r'<script type="application/json" id="lesson">(.*?)</script>', page, re.DOTALL)
    found: dict[str, Any] = json.loads(told)
    return found


def test_a_manifest_of_scorm_names_every_file_and_has_one_sco_for_each_lesson() -> None:
    files = files_of(BOTH, SCORM_2004, "fr")
    root = fromstring(files.pop("imsmanifest.xml"))
    assert root.tag == f"{CP}manifest"
    assert [one.tag.removeprefix(CP) for one in root] == ["metadata", "organizations", "resources"]
    assert root.findtext(f"{CP}metadata/{CP}schema") == "ADL SCORM"
    assert root.findtext(f"{CP}metadata/{CP}schemaversion") == "2004 4th Edition"
    (organization,) = root.findall(f"{CP}organizations/{CP}organization")
    assert root.find(f"{CP}organizations").get("default") == organization.get("identifier")
    items, resources = organization.findall(f"{CP}item"), root.findall(f"{CP}resources/{CP}resource")
    assert [one.findtext(f"{CP}title") for one in items] == [lesson(name, "fr").title for name in BOTH]
    assert [one.get("identifierref") for one in items] == [one.get("identifier") for one in resources]
    identifiers = [one.get("identifier") for one in root.iter() if one.get("identifier")]
    assert len(identifiers) == len(set(identifiers))
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", one) for one in identifiers)
    for resource in resources:
        assert (resource.get("type"), resource.get(f"{ADLCP}scormType")) == ("webcontent", "sco")
        assert resource.get("href") in {one.get("href") for one in resource.findall(f"{CP}file")}
    assert {one.get("href") for one in root.iter(f"{CP}file")} == set(files)
    assert not list(root.iter(f"{SS}objectives"))
    for control in root.iter(f"{SS}deliveryControls"):
        assert control.attrib == {"completionSetByContent": "true", "objectiveSetByContent": "true"}


def test_a_course_structure_of_cmi5_has_one_unit_for_each_lesson() -> None:
    files = files_of(BOTH, BY_CMI5, "ar")
    root = fromstring(files["cmi5.xml"])
    assert root.tag == f"{CMI5}courseStructure"
    assert [one.tag.removeprefix(CMI5) for one in root] == ["course", "au", "au"]
    ids = [one.get("id") for one in root]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z]+:\S+", str(one)) for one in ids)
    for unit, name in zip(root.findall(f"{CMI5}au"), BOTH, strict=True):
        assert [one.tag.removeprefix(CMI5) for one in unit] == ["title", "description", "url"]
        assert set(unit.attrib) == {"id", "moveOn"}
        assert unit.get("moveOn") == "CompletedOrPassed"
        assert unit.findtext(f"{CMI5}url") in files
        words = unit.find(f"{CMI5}title/{CMI5}langstring")
        assert (words.get("lang"), words.text) == ("ar", lesson(name, "ar").title)


def test_a_score_that_passes_is_in_the_manifest_and_on_the_page_only_where_it_is_set() -> None:
    for form, manifest in ((SCORM_2004, "imsmanifest.xml"), (BY_CMI5, "cmi5.xml")):
        without, with_score = files_of(("bias",), form), files_of(("bias",), form, "en", 0.8)
        assert ("0.8" in without[manifest], "0.8" in with_score[manifest]) == (False, True)
        assert (played(without["bias.html"])["mastery"], played(with_score["bias.html"])["mastery"]) == (None, 0.8)
    measure = fromstring(files_of(("bias",), SCORM_2004, "en", 0.8)["imsmanifest.xml"]).find(f".//{SS}primaryObjective")
    assert (measure.get("satisfiedByMeasure"), measure.findtext(f"{SS}minNormalizedMeasure")) == ("true", "0.8")


@pytest.mark.parametrize("name", lesson_names() if NIGHTLY else ["thresholds"])
@pytest.mark.parametrize("form", PackageFormat)
def test_a_page_has_the_whole_lesson_and_hides_the_reasons(name: str, form: PackageFormat) -> None:
    for language in languages_of(name):
        page, one = files_of((name,), form, language)[f"{name}.html"], lesson(name, language)
        told = played(page)
        shown = page.partition('<script type="application/json"')[0]
        assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}">' in page
        assert shown.count("<section hidden>") == len(one.sections) + 1
        assert shown.count("<figure>") == sum(len(section.part.figures) for section in one.sections)
        assert shown.count('<p class="reason" hidden>') == sum(len(section.part.options) for section in one.sections)
        assert not re.search(r'(src|href)="(?!data:image/svg)', shown)
        assert re.findall(r"\son\w+=|\sstyle=|url\(|@import|\]\(figure", shown) == []
        assert ("connect-src" in page) == (form is BY_CMI5)
        assert [part["right"] for part in told["parts"]] == [section.key.right for section in one.sections]
        assert [part["question"] for part in told["parts"]] == [section.part.question for section in one.sections]
        assert len(told["results"]) == len(one.sections) + 1
        words = (*told["words"].values(), *told["results"], shown)
        assert not any(re.search(r"(package|console)\.[a-z]", one) for one in words)


def test_the_same_lessons_have_the_same_bytes_and_a_language_that_one_lacks_is_english() -> None:
    first, again = (package(BOTH, SCORM_2004, language) for language in ("fr", "fr-CA"))
    assert first == again
    assert (first.name, first.language) == ("2-lessons-fr-scorm-2004.zip", "fr")
    assert package(("bias",), BY_CMI5, "de").name == "bias-en-cmi5.zip"
    assert package(("bias",), BY_CMI5, "").language == "en"
    assert package(("bias",), BY_CMI5).content != package(("bias",), BY_CMI5, "es").content
    with pytest.raises(LookupError):
        package(("biases",), BY_CMI5)
