"""The tree of errors, the API's enum and the server's table of status codes say the same."""

import base64
import json
import re

import grpc
import pytest
from google.rpc import error_details_pb2

from fr_api.v1 import error_reason_pb2
from fr_core import errors as e
from fr_server.errors import STATUS, all_errors, reason_value, rich_status
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
