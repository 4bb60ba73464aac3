"""The manifest of a bundle: what the engine is, where it comes from, what was measured.

The threat is a manifest that says something else than what was measured: so it is rendered in one
canonical way, carries a hash of itself, and every other file's size and SHA-256. Its size is bounded
before it is parsed.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import EngineError, IntegrityError

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
LOCAL_HEADS = "local_heads"  # key of `engine`: what heat maps need; engines of version 0.1 have none
FUSION_MODES = ("frontal", "present", "published")


@dataclass(frozen=True)
class BundleFile:
    """One file of the bundle: plain name, size in bytes, SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Everything a reader or a program must know of an engine; `docs/bundle.md` explains each field."""

    name: str
    created: str
    sdk_version: str
    source: dict[str, Any]
    method: str
    sizes: dict[str, int]
    preprocessing: dict[str, Any]
    fusion_mode: str
    logit_scale: float
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
        return _render(asdict(self))

    @property
    def intensity_profile(self) -> str:
        """How stored DICOM values become grey for this engine."""
        profile: str = self.preprocessing["intensity_profile"]
        return profile

    @property
    def sha256(self) -> str:
        """The hash that names this engine: of everything in the manifest, and so of every file."""
        return _seal(asdict(self))


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Raises EngineError for a schema that this SDK does not know, IntegrityError for anything that is not
    the exact text that an export wrote.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise IntegrityError(f"{MANIFEST_NAME} is larger than {MAX_MANIFEST_BYTES} bytes: not a manifest")
    try:
        content = json.loads(data)
        version = content["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{MANIFEST_NAME} is damaged: copy or export the bundle again") from error
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise EngineError(
            f"{MANIFEST_NAME} has schema version {version}, newer than this SDK's {SCHEMA_VERSION}: "
            "upgrade alta-sdk (pip install -U alta-sdk)"
        )
    try:
        manifest = _from_content(content)
        unchanged = manifest.render() == data
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{MANIFEST_NAME} is damaged: copy or export the bundle again") from error
    if not unchanged:
        raise IntegrityError(f"{MANIFEST_NAME} was changed after the export: copy or export the bundle again")
    return manifest


def _from_content(content: dict[str, Any]) -> Manifest:
    content = dict(content)
    content.pop("sha256")
    names = {field.name for field in fields(Manifest)}
    if set(content) != names:
        raise ValueError("fields differ from the schema")
    content["files"] = tuple(BundleFile(**file) for file in content["files"])
    content["notices"] = tuple(content["notices"])
    manifest = Manifest(**content)
    if manifest.fusion_mode not in FUSION_MODES or not isinstance(manifest.logit_scale, float):
        raise ValueError("a field is out of range")
    for file in manifest.files:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", file.name) or file.name == MANIFEST_NAME:
            raise ValueError("a file name is not a plain name")
    return manifest


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _render(content: dict[str, Any]) -> bytes:
    return _canonical({**content, "sha256": _seal(content)})


def _canonical(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return (text + "\n").encode("ascii")
