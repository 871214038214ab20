"""Ask for an error rate in place of a threshold, with a calibration of the gallery."""

from pathlib import Path

from fr_api.v1 import common_pb2
from fr_client import Client

with Client("localhost:50061") as client:
    client.set_calibration("team", Path("calibration.json"))
    answer = client.search("team", Path("probe.jpg"), target_fpir=0.01)
    rates = answer.error_rates
    print("threshold", answer.threshold, "accepts", rates.fmr.value, "and misses", rates.fnmr.value)
    print(
        "by people" if rates.fmr.interval_method == common_pb2.INTERVAL_METHOD_BY_PEOPLE else "Wilson's", rates.fmr.high
    )
    print(
        "measured on", rates.calibration.dataset, "with", rates.calibration.people or "an unknown number of", "people"
    )
    client.delete_calibration("team")  # back to that of the model pack, if it has one
