"""A bundle on disk: its files by name, and reading one only after it proved to be what was exported.

The threats: a copy cut short, a file swapped or edited, a name that leads out of the folder, a link.
Each is refused before any back end sees a byte.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import EngineError, IntegrityError
from .manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, BundleFile, Manifest, parse_manifest

IMAGE_GRAPH = "image.onnx"
TEXT_GRAPH = "text.onnx"
HEAD = "head.npz"
TOKENIZER = "tokenizer.json"
PROMPTS = "prompts.json"
SELF_TEST = "selftest.npz"
PATCH_GRAPH = "patches.onnx"  # for heat maps
CALIBRATION = "calibration.json"  # of an INT8 engine
REQUIRED = (IMAGE_GRAPH, TEXT_GRAPH, HEAD, TOKENIZER, PROMPTS, SELF_TEST)


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: where it is and what its manifest says."""

    folder: Path
    manifest: Manifest

    def path(self, name: str) -> Path:
        """Return the path of one of the bundle's files."""
        return self.folder / name

    def read_text(self, name: str) -> str:
        """Read one of the bundle's files in UTF-8; raise EngineError if that cannot be done."""
        try:
            return self.path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EngineError(f"{name} cannot be read: export the bundle again") from error


def open_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read the manifest of a bundle and check the size and SHA-256 of every file.

    Raises EngineError if there is no bundle or its schema is newer, IntegrityError if it was changed.
    """
    bundle = Bundle(Path(path), read_manifest(path))
    missing = set(REQUIRED) - {file.name for file in bundle.manifest.files}
    if missing:
        raise IntegrityError(f"{MANIFEST_NAME} does not list {', '.join(sorted(missing))}: export the bundle again")
    for file in bundle.manifest.files:
        check_file(bundle, file)
    return bundle


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read only the manifest; the other files are not looked at."""
    folder = Path(path)
    if not folder.is_dir():
        raise EngineError("engine not found: give the folder NAME.alta that alta-export wrote")
    try:
        with open(folder / MANIFEST_NAME, "rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except FileNotFoundError as error:
        raise EngineError(f"not an engine: the folder holds no {MANIFEST_NAME}") from error
    except OSError as error:
        raise EngineError(f"{MANIFEST_NAME} cannot be read: {error.strerror}") from error
    return parse_manifest(data)


def check_file(bundle: Bundle, file: BundleFile) -> None:
    """Raise IntegrityError unless the file is a regular one of the listed size and SHA-256."""
    path = bundle.path(file.name)
    again = "copy or export the bundle again"
    if path.is_symlink() or not path.is_file():
        raise IntegrityError(f"{file.name} is missing or not a plain file: {again}")
    if path.stat().st_size != file.size:
        raise IntegrityError(f"{file.name} has {path.stat().st_size} bytes, the manifest says {file.size}: {again}")
    if hash_file(path) != file.sha256:
        raise IntegrityError(f"{file.name} was changed after the export (SHA-256 differs): {again}")


def hash_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
