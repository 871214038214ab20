"""Inference runtimes behind one protocol.

Importing this package keeps ONNX Runtime silent. From 1.29 on its releases send an id of the machine, what models are
loaded and how often they run to its makers, unless this is in the environment when it is loaded
(https://github.com/microsoft/onnxruntime/pull/27379).
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
