"""What this machine has: processor, libraries, runtimes, DICOM decoders. Nothing that names a person."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from alta_runtimes import RuntimeInfo, RuntimeUnavailable, available, choose_runtime

from .._version import __version__
from ..dicom.decoding import find_plugin
from ..errors import DicomError
from .processor import list_instruction_sets, processor_name

LIBRARIES = ("numpy", "onnxruntime", "pydicom", "pillow", "tokenizers")
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
        **{name: _version(name) for name in LIBRARIES},
    }
    return Environment(facts, available(), _decoders(), _choose())


def _version(name: str) -> str:
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
