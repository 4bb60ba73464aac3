"""Switch off every telemetry and hub of the back ends, before any of them is imported.

onnxruntime 1.29 and later reports usage by default, on Linux too, and writes an identifier under
the home folder; it reads ORT_DISABLE_TELEMETRY once, when it is imported. This module therefore
runs at the import of `alta_runtimes`, which everything else of ours imports first.
"""

import os

OFFLINE_ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}


def disable_telemetry() -> None:
    """Set the environment variables that keep onnxruntime and the hub clients silent and offline."""
    os.environ.update(OFFLINE_ENVIRONMENT)
