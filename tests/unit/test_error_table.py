"""The tree of errors, the API's enum and the server's table of status codes say the same."""

import base64
import json
import re
from importlib import resources

import grpc
import polib
import pytest
from google.rpc import error_details_pb2

from fr_api.v1 import error_reason_pb2
from fr_core import errors as e
from fr_locales.rendering import render
from fr_server.errors import STATUS, all_errors, reason_value, rich_status
from fr_web.backend import api_calls
from fr_web.console.words import FOR_PAGES
from fr_web.errors import error_response, refused

CALLS = [error for error in all_errors() if not issubclass(error, e.Unrecoverable)]


def test_each_error_of_a_call_has_one_reason_a_status_and_a_place_in_the_enum() -> None:
    reasons = [error.reason for error in all_errors()]
    assert len(reasons) == len(set(reasons))
    assert set(STATUS) == set(CALLS)
    names = [name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()]  # noqa: SIM118 - no dict
    assert names[0] == "UNSPECIFIED"
    assert set(names[1:]) == {error.reason for error in CALLS}  # numbers stay, so that new reasons are at the end


@pytest.mark.parametrize("error", CALLS, ids=lambda error: error.reason)
def test_every_error_says_what_to_do_and_becomes_a_status(error: type[e.FrError]) -> None:
    raised = error("Something was found.", limit="3")
    assert raised.message == f"Something was found. {raised.advice}"
    assert raised.advice.endswith(".")
    status = rich_status(raised)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, dict(info.metadata)) == (error.reason, {"limit": "3"})
    assert reason_value(raised) != error_reason_pb2.ERROR_REASON_UNSPECIFIED


def test_details_are_packed_in_one_order_over_grpc_and_http() -> None:
    """A hash orders the entries of a message: two dozen come sorted by chance once in 10^23 runs."""
    metadata = {f"key_{number:02}": "x" for number in range(24)}
    packed = rich_status(e.NoFaceFound("None.", **metadata)).details[0].value
    answer = json.loads(
        bytes(error_response(refused(grpc.StatusCode.NOT_FOUND, "NO_FACE", "None.", None, **metadata)).body)
    )
    (detail,) = answer["details"]
    assert re.findall(rb"key_\d\d", packed) == sorted(name.encode() for name in metadata)
    assert base64.b64decode(detail["value"] + "==") == packed
    assert list(detail["debug"]["metadata"]) == sorted(metadata)


def test_waiting_is_advised_only_where_it_helps() -> None:
    retry = error_details_pb2.RetryInfo()
    status = rich_status(e.Overloaded("Full."))
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 500
    assert len(rich_status(e.NoFaceFound("None.")).details) == 1


# What people in a browser do not have: options, commands, names of calls and of their parts.
OF_PROGRAMS = re.compile(r"(?<![\w-])--?[a-z]|\bfr [a-z]|\b[A-Z][a-z]+[A-Z][a-z]\w*|\bauthorization\b|Timeout-Ms")
COMMANDS = ("bench", "config", "dataset", "evaluation", "packs", "server")
"""Rooms whose findings no call ends with."""


@pytest.mark.parametrize("error", CALLS, ids=lambda error: error.reason)
def test_a_page_says_what_to_do_on_a_page(error: type[e.FrError]) -> None:
    reason = error.reason
    told = render(FOR_PAGES[reason]) if reason in FOR_PAGES else error("").advice
    assert OF_PROGRAMS.findall(told) == []


def test_what_is_found_names_no_call_no_option_and_no_command() -> None:
    assert set(FOR_PAGES) <= {error.reason for error in CALLS}
    assert OF_PROGRAMS.search(error_of_programs := e.FrError("Say --tests, call NextTrial, or run fr train.").what)
    assert len(OF_PROGRAMS.findall(error_of_programs)) == 3
    calls = {call.path.rpartition("/")[2] for call in api_calls().values()}
    catalogue = polib.pofile(str(resources.files("fr_locales") / "en" / "LC_MESSAGES" / "fr.po"))
    findings = {one.msgid: one.msgstr for one in catalogue if one.msgid.startswith("error.")}
    assert len(findings) > 500
    for name, finding in findings.items():
        found = OF_PROGRAMS.findall(finding) if name.split(".")[1] not in COMMANDS else []
        assert not any(one in calls or one.startswith(("-", "fr ")) for one in found), (name, finding)
