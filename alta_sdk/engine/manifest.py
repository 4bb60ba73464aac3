"""The manifest of a bundle: what the engine is, where it comes from, what was measured.

The threat is a manifest that says something else than what was measured: so it is rendered in one
canonical way, carries a hash of itself, and every other file's size and SHA-256. Its size is bounded
before it is parsed, and it is checked as a whole, by one schema, before anything of it is used. That proves
that it was not damaged; who wrote it, only a signature proves (`signature.py`).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from ..errors import EngineError, IntegrityError
from ..study.geometry import Geometry
from ..study.slots import Slot
from .manifest_content import ADDED, check_content, lift_content
from .manifest_content import FUSION_MODES as FUSION_MODES
from .manifest_content import LOCAL_HEADS as LOCAL_HEADS
from .manifest_content import SCHEMA_VERSION as SCHEMA_VERSION
from .preprocessing import read_geometry
from .schema import parse_json

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True)
class BundleFile:
    """One file of the bundle: plain name, size in bytes, SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str

    @classmethod
    def of(cls, name: str, data: bytes) -> "BundleFile":
        """List a file by its bytes."""
        return cls(name, len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class BundleGraph:
    """One graph of the bundle: its file, and the names of what goes in and comes out."""

    file: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "BundleGraph":
        """Take it from a manifest's content."""
        return cls(content["file"], tuple(content["inputs"]), tuple(content["outputs"]))

    def select_inputs(self, given: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return those of the arrays that this graph reads."""
        return {name: given[name] for name in self.inputs}


@dataclass(frozen=True)
class Manifest:
    """Everything a reader or a program must know of an engine; `docs/bundle.md` explains each field.

    One that was read from a version 1 file holds what version 2 says besides, and renders as it was written.
    """

    name: str
    created: str
    sdk_version: str
    source: dict[str, Any]
    method: str
    family: str
    sizes: dict[str, int]
    preprocessing: dict[str, Any]
    graphs: dict[str, BundleGraph]
    head: str
    fusion_mode: str
    fusion_modes: tuple[str, ...]
    slots: tuple[str, ...]
    prompt_rule: str
    prompt_average: str
    prompt_pair: tuple[str, str]
    patch_match: str
    logit_scale: float
    logit_scale_note: str
    engine: dict[str, Any]
    merging: dict[str, Any]
    verification: dict[str, Any]
    intended_use: str
    licence: str
    training_data: str
    notices: tuple[str, ...]
    files: tuple[BundleFile, ...]
    schema_version: int = SCHEMA_VERSION

    def render(self) -> bytes:
        """Return the one canonical text of this manifest, with its own hash in it."""
        return _render(self._written)

    def lists(self, name: str) -> bool:
        """Tell whether the bundle has a file."""
        return any(file.name == name for file in self.files)

    def check(self) -> None:
        """Raise ValueError, with the place, if it could not be read again: before it is written."""
        check_content({**self._written, "sha256": self.sha256})

    @property
    def intensity_profile(self) -> str:
        """How stored DICOM values become grey for this engine."""
        profile: str = self.preprocessing["intensity_profile"]
        return profile

    @property
    def readable_slots(self) -> tuple[Slot, ...]:
        """The slots of a study that this engine's family reads."""
        return tuple(Slot[name.upper()] for name in self.slots)

    @property
    def geometry(self) -> Geometry:
        """How a radiograph's pixels become those that this engine reads."""
        return read_geometry(self.preprocessing)

    @property
    def sha256(self) -> str:
        """The hash that names this engine: of everything in the manifest, and so of every file."""
        return _seal(self._written)

    @property
    def _written(self) -> dict[str, Any]:
        """What is in the file, of the version that it is of."""
        content = asdict(self)
        added = ADDED if content["schema_version"] == 1 else ()
        return {name: value for name, value in content.items() if name not in added}


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Raises EngineError for a schema that this SDK does not know, IntegrityError for anything that is not
    the exact text that an export wrote.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise IntegrityError(f"{MANIFEST_NAME} is larger than {MAX_MANIFEST_BYTES} bytes: not a manifest")
    try:
        content = parse_json(data)
    except ValueError as error:
        raise IntegrityError(f"{MANIFEST_NAME} is damaged: copy or export the bundle again") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise EngineError(
            f"{MANIFEST_NAME} has schema version {str(version)[:20]}, newer than this SDK's {SCHEMA_VERSION}: "
            "upgrade alta-sdk (pip install -U alta-sdk)"
        )
    try:
        check_content(content)
    except ValueError as error:
        raise IntegrityError(f"{MANIFEST_NAME} is damaged, {error}: copy or export the bundle again") from error
    if _render({key: value for key, value in content.items() if key != "sha256"}) != data:
        raise IntegrityError(f"{MANIFEST_NAME} was changed after the export: copy or export the bundle again")
    del content["sha256"]
    read: dict[str, Any] = lift_content(content) if content["schema_version"] == 1 else content
    listed = {name: tuple(value) for name, value in read.items() if isinstance(value, list | tuple)}
    files = tuple(BundleFile(**file) for file in read["files"])
    graphs = {name: BundleGraph.read(graph) for name, graph in read["graphs"].items()}
    return Manifest(**{**read, **listed, "graphs": graphs, "files": files})


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _render(content: dict[str, Any]) -> bytes:
    return _canonical({**content, "sha256": _seal(content)})


def _canonical(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return (text + "\n").encode("ascii")
