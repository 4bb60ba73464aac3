"""The manifest of a bundle: what the engine is, where it comes from, what was measured.

The threat is a manifest that says something else than what was measured: so it is rendered in one
canonical way, carries a hash of itself, and every other file's size and SHA-256. Its size is bounded
before it is parsed, and it is checked as a whole, by one schema, before anything of it is used. That proves
that it was not damaged; who wrote it, only a signature proves (`signature.py`).
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import EngineError, IntegrityError
from .schema import choice, integer, listing, mapping, matching, number, parse_json, plain, record, text

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
LOCAL_HEADS = "local_heads"  # key of `engine`: what heat maps need; engines of version 0.1 have none
FUSION_MODES = ("frontal", "present", "published")
MAX_FILES = 64
MAX_FILE_BYTES = 1 << 40

# Not ours, no device of Windows, and the same name on every system.
FILE_NAME = matching(
    r"(?!(manifest|con|prn|aux|nul|com\d|lpt\d)([.]|$))[a-z0-9]([a-z0-9_.-]{0,62}[a-z0-9_-])?",
    "the plain name of a file",
)
SHA256 = matching("[0-9a-f]{64}", "a SHA-256")
LIMITS = record({"min_cosine": number(-4, 1), "max_abs": number(0, 8)}, other=number(-1e6, 1e6))
# Sections hold more than programs read, and other versions of the SDK wrote more or less of it: that is plain JSON.
CONTENT = record(
    {
        "schema_version": integer(SCHEMA_VERSION, SCHEMA_VERSION),
        "sha256": SHA256,
        "name": text(200),
        "created": text(100),
        "sdk_version": text(100),
        "source": mapping(plain),
        "method": text(1000),
        "sizes": record(
            {"embedding": integer(1, 1 << 16), "max_tokens": integer(3, 1 << 16)}, other=integer(0, 1 << 32)
        ),
        "preprocessing": record({"intensity_profile": text(100)}, other=plain),
        "fusion_mode": choice(*FUSION_MODES),
        "logit_scale": number(1e-6, 1e6),
        "engine": record(
            {
                "runtime": choice("onnx", "openvino", "tensorrt"),
                "precision": choice("fp32", "fp16", "bf16", "int8"),
            },
            {
                LOCAL_HEADS: record(
                    {"limits": LIMITS, "patch_scale": number(1e-6, 1e6), "precision": text(20)}, other=plain
                )
            },
            plain,
        ),
        "merging": mapping(plain),
        "verification": record({"limits": LIMITS}, other=plain),
        "intended_use": text(lines=True),
        "licence": text(lines=True),
        "training_data": text(lines=True),
        "notices": listing(text(), 100),
        "files": listing(
            record(
                {
                    "name": FILE_NAME,
                    "size": integer(0, MAX_FILE_BYTES),
                    "sha256": SHA256,
                }
            ),
            MAX_FILES,
        ),
    }
)


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

    def check(self) -> None:
        """Raise ValueError, with the place, if it could not be read again: before it is written."""
        check_content({**asdict(self), "sha256": self.sha256})

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
    files = tuple(BundleFile(**file) for file in content["files"])
    return Manifest(**{**content, "notices": tuple(content["notices"]), "files": files})


def check_content(content: Any) -> None:
    """Raise ValueError, with the place, unless the content of a manifest keeps the schema."""
    CONTENT(content, "")
    names = [file["name"] for file in content["files"]]
    if len(set(names)) != len(names):
        raise ValueError("files lists one name twice")


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _render(content: dict[str, Any]) -> bytes:
    return _canonical({**content, "sha256": _seal(content)})


def _canonical(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return (text + "\n").encode("ascii")
