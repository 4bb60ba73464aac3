"""Switch off every telemetry and hub of the back ends, before any of them is imported.

onnxruntime 1.29 and later reports usage by default, on Linux too, and writes an identifier under
the home folder; it reads ORT_DISABLE_TELEMETRY once, when it is imported. This module therefore
runs at the import of `alta_runtimes`, which everything else of ours imports first.

OpenVINO asks no variable: it writes an identifier under the home folder and reports when it reads a
model, unless its telemetry package cannot be imported, for which it has a stub. So that import is blocked.
"""

import os
import sys

OFFLINE_ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}
BLOCKED_MODULES = ("openvino_telemetry",)


def disable_telemetry() -> None:
    """Keep onnxruntime, OpenVINO and the hub clients silent and offline."""
    os.environ.update(OFFLINE_ENVIRONMENT)
    for name in BLOCKED_MODULES:
        sys.modules[name] = None  # type: ignore[assignment]  # importing it raises ImportError from now on
