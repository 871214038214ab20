"""Inference runtimes behind one protocol.

Importing this package keeps the runtimes silent. From 1.29 on the releases of ONNX Runtime send an id of the machine,
what models are loaded and how often they run to its makers, unless this is in the environment when it is loaded
(https://github.com/microsoft/onnxruntime/pull/27379). OpenVINO sends an id and its version to Google Analytics at each
import, unless this package is missing: it has a stub for that case (openvino/tools/ovc/telemetry_utils.py).
"""

import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
