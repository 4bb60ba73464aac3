"""What this machine has: processor, libraries, runtimes, DICOM decoders. Nothing that names a person."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from alta_runtimes import RuntimeInfo, RuntimeUnavailable, available, choose_runtime
from alta_runtimes.driver import probe_driver

from .._version import __version__
from ..dicom.decoding import find_plugin
from ..errors import DicomError
from .processor import list_instruction_sets, processor_name

LIBRARIES = ("numpy", "onnxruntime", "pydicom", "pillow", "tokenizers")
PORTABLE = "onnxruntime"  # in two packages, of which a machine has one
SYNTAXES = (
    "ExplicitVRLittleEndian",
    "RLELossless",
    "JPEGBaseline8Bit",
    "JPEGLosslessSV1",
    "JPEGLSLossless",
    "JPEG2000Lossless",
    "JPEG2000",
    "HTJ2KLossless",
)


@dataclass(frozen=True)
class Environment:
    """Facts by name, the runtimes, and the state of each DICOM decoder (empty if it works).

    choice: the runtime that a Matcher takes by itself for an FP32, FP16 or INT8 engine, and why.
    """

    facts: dict[str, str]
    runtimes: list[RuntimeInfo]
    decoders: dict[str, str]
    choice: str


def describe_environment() -> Environment:
    """Look at this machine; nothing is run and nothing is written."""
    facts = {
        "alta-sdk": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "instruction sets": ", ".join(list_instruction_sets()) or "not told",
        "processors": str(os.cpu_count()),
        **_describe_gpu(),
        **{name: _version(name) for name in LIBRARIES},
    }
    return Environment(facts, available(), _decoders(), _choose())


def onnxruntime_version() -> str | None:
    """Return the version of onnxruntime, of whichever package it came in; None if it is not here."""
    return next(info.version for info in available() if info.name == PORTABLE)


def _describe_gpu() -> dict[str, str]:
    """Return the GPU that would compute, as the driver names it; nothing where there is none."""
    state = probe_driver()
    if not state.is_usable:
        return {}
    gpu = state.gpus[0]
    return {"gpu": f"{gpu.name}, compute capability {gpu.compute_capability}, driver for CUDA {state.cuda}"}


def _version(name: str) -> str:
    if name == PORTABLE:
        return onnxruntime_version() or "not installed"
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _choose() -> str:
    try:
        return "{}: {}".format(*choose_runtime())
    except RuntimeUnavailable as error:
        return str(error)


def _decoders() -> dict[str, str]:
    from pydicom import uid

    states = {}
    for keyword in SYNTAXES:
        syntax = getattr(uid, keyword)
        try:
            if syntax.is_compressed:
                find_plugin(syntax)
            states[syntax.name] = ""
        except DicomError as error:
            states[syntax.name] = str(error)
    return states
