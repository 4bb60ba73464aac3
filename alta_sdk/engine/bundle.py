"""A bundle on disk: its files by name, each read once, proven to be what was exported, and used as it was read.

The threats: a copy cut short, a file edited, a file that changes between the proof and the use, a name that leads
out of the folder, a link, a pipe that never ends. So what was proven are bytes in memory, and those bytes are what
parsers and back ends get: no path leaves this file for them. What the manifest does not list is never read, but for
the signature, which is of the manifest itself.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from alta_runtimes.graph_outline import take_outline
from alta_runtimes.private_copy import PrivateCopy

from ..errors import EngineError, IntegrityError
from ..files.opening import open_file, read_bytes
from .manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, BundleFile, Manifest, parse_manifest
from .signature import MAX_SIGNATURE_BYTES, SIGNATURE_NAME, TrustedKeys, check_signature, read_signer

IMAGE_GRAPH = "image.onnx"
TEXT_GRAPH = "text.onnx"
HEAD = "head.npz"
TOKENIZER = "tokenizer.json"
PROMPTS = "prompts.json"
SELF_TEST = "selftest.npz"
PATCH_GRAPH = "patches.onnx"  # for heat maps
CALIBRATION = "calibration.json"  # of an INT8 engine
PROMPT_VECTORS = "prompts.npz"  # what the text graph gives for the prompts of prompts.json
CARD, CARD_TEXT = "card.json", "card.md"  # the model card, of engines whose model has one
REQUIRED = (IMAGE_GRAPH, TEXT_GRAPH, HEAD, TOKENIZER, PROMPTS, SELF_TEST)
GRAPH = ".onnx"
MIB = 1 << 20
BLOCK_BYTES = MIB
# What a file may have at most, since all of it is read into memory; graphs and plans are bounded by their readers.
MAX_FILE_MIB = {TOKENIZER: 64, PROMPTS: 16, CALIBRATION: 64, HEAD: 1024, SELF_TEST: 1024}
MAX_FILE_MIB |= {PROMPT_VECTORS: 256, CARD: 1, CARD_TEXT: 1}
NO_KEY = "none that can be read"
PROVERS = 2  # files that are read and hashed at once, which needs no more of Python than to begin each block
AGAIN = "copy or export the bundle again"


@dataclass(frozen=True)
class Kept:
    """Files whose bytes are kept from the proof to their first use: whole, or of graphs all but their weights."""

    whole: tuple[str, ...] = ()
    outlines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: where it is, what its manifest says, and the key that it was proven to be signed with.

    claimed_signer: the key that its signature names, where no key is trusted here and so nothing is proven.
    """

    folder: Path
    manifest: Manifest
    signed_by: str | None = None
    claimed_signer: str | None = None
    _held: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    _copied: dict[str, PrivateCopy] = field(default_factory=dict, repr=False, compare=False)
    _outlined: dict[str, memoryview] = field(default_factory=dict, repr=False, compare=False)
    _is_given_up: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def path(self, name: str) -> Path:
        """Return where one of the bundle's files is, to write it; what is read comes from `read`."""
        return self.folder / name

    def read(self, name: str) -> bytes:
        """Return the bytes of one of the bundle's files; those that were proven when it was opened, the first time.

        Later they are read, and proven, again: nobody needs a graph twice, and it is not kept in memory.
        Raises IntegrityError for a file that the manifest does not list, or that is not what it says.
        """
        held = self._held.pop(name, None)
        if held is not None:
            return held
        return b"".join(self._read_proven(self.find(name)))

    def copy(self, name: str) -> PrivateCopy:
        """Return the same of a graph, as what a back end loads it from with little memory; to be closed after that."""
        held = self._copied.pop(name, None)
        if held is not None:
            return held
        return copy_blocks(self._read_proven(self.find(name)), name)

    def outline(self, name: str) -> memoryview:
        """Return the same of a graph with zeros for its weights, to look into and never to load."""
        held = self._outlined.pop(name, None)
        if held is not None:
            return held
        file = self.find(name)
        with memory_is_told(name):
            return take_outline(self._read_proven(file), file.size)

    def read_text(self, name: str) -> str:
        """Read one of the bundle's files in UTF-8; raises what `read` raises, and IntegrityError for other bytes."""
        try:
            return self.read(name).decode("utf-8")
        except UnicodeDecodeError as error:
            raise IntegrityError(f"{name} cannot be read: export the bundle again") from error

    def find(self, name: str) -> BundleFile:
        """Return what the manifest says of a file; raise IntegrityError if it lists none of that name."""
        for file in self.manifest.files:
            if file.name == name:
                return file
        raise IntegrityError(f"{MANIFEST_NAME} does not list {name}: export the bundle again")

    def prove_all(self, keep: Kept) -> None:
        """Check every file, and keep the bytes of some of them until they are used: so that each is read once.

        Of several files that are not as listed, the first of the manifest is told.
        """
        with ThreadPoolExecutor(PROVERS, "alta-prove") as provers:
            try:
                for proof in [provers.submit(self._prove_and_keep, file, keep) for file in self.manifest.files]:
                    proof.result()
            except BaseException:  # Ctrl-C, too: a share may be slow
                self._is_given_up.set()
                raise

    def _prove_and_keep(self, file: BundleFile, keep: Kept) -> None:
        if file.name in keep.outlines:
            self._outlined[file.name] = self.outline(file.name)
        elif file.name not in keep.whole:
            for _ in self._read_proven(file):
                pass
        elif file.name.endswith(GRAPH):
            self._copied[file.name] = self.copy(file.name)
        else:
            self._held[file.name] = self.read(file.name)

    def _read_proven(self, file: BundleFile) -> Iterator[bytes]:
        """Read a file from its beginning to its end, in blocks; raise IntegrityError at a difference."""
        largest = MAX_FILE_MIB.get(file.name)
        if largest is not None and file.size > largest * MIB:
            raise IntegrityError(f"{file.name} has more than {largest} MiB: no export of alta-sdk writes that")
        for block in read_proven(self.path(file.name), file):
            if self._is_given_up.is_set():
                raise EngineError("engine was given up while its files were proven: open it again")
            yield block


def read_proven(path: Path, file: BundleFile, again: str = AGAIN) -> Iterator[bytes]:
    """Read a listed file once, in blocks; raise IntegrityError, at the latest behind the last one, if it is not so.

    again: what to do then.
    """
    digest = hashlib.sha256()
    try:
        with open_file(path, links=False) as descriptor:
            size = os.fstat(descriptor.fileno()).st_size
            if size != file.size:
                raise IntegrityError(f"{file.name} has {size} bytes, the manifest says {file.size}: {again}")
            left = file.size
            while left and (block := descriptor.read(min(left, BLOCK_BYTES))):
                left -= len(block)
                digest.update(block)
                yield block
    except OSError as error:
        raise IntegrityError(f"{file.name} is missing or not a plain file: {again}") from error
    if digest.hexdigest() != file.sha256:
        raise IntegrityError(f"{file.name} was changed after the export (SHA-256 differs): {again}")


def copy_blocks(blocks: Iterator[bytes], name: str) -> PrivateCopy:
    """Return the bytes of a file that are read in blocks; raise EngineError where memory is short."""
    copied = PrivateCopy()
    with memory_is_told(name):
        for block in blocks:
            copied.write(block)
    return copied


@contextmanager
def memory_is_told(name: str) -> Iterator[None]:
    """Let what the system says of too little memory be an EngineError."""
    try:
        yield
    except OSError as error:
        raise EngineError(f"{name} does not fit into memory: {error.strerror}; close other programs") from error


def open_bundle(
    path: str | os.PathLike[str],
    *,
    trusted: TrustedKeys | None = None,
    keep: Callable[[Manifest], Kept] = lambda _: Kept(),
) -> Bundle:
    """Read the manifest of a bundle and check its signature and the size and SHA-256 of every file.

    trusted: the keys of which one must have signed the manifest; None asks for no signature. keep: names the files
    whose bytes are kept until they are first used.
    Raises EngineError if there is no bundle or its schema is newer, IntegrityError if it was changed or is not
    signed by a trusted key.
    """
    folder = Path(path)
    data = _read_manifest(folder)
    manifest = parse_manifest(data)
    signed_by = None if trusted is None else check_signature(data, _read_signature(folder), trusted)
    bundle = Bundle(folder, manifest, signed_by, _read_claim(folder) if trusted is None else None)
    missing = set(REQUIRED) - {file.name for file in manifest.files}
    if missing:
        raise IntegrityError(f"{MANIFEST_NAME} does not list {', '.join(sorted(missing))}: export the bundle again")
    bundle.prove_all(keep(manifest))
    return bundle


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read only the manifest; the other files are not looked at."""
    return parse_manifest(_read_manifest(Path(path)))


def read_signature(path: str | os.PathLike[str]) -> bytes | None:
    """Return the bytes of a bundle's signature, or None if it has none; raise IntegrityError if it is no plain file."""
    return _read_signature(Path(path))


def hash_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in blocks."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(folder: Path) -> bytes:
    if not os.path.isdir(folder):  # unlike Path.is_dir, never raises
        raise EngineError(f"engine {_why_no_folder(folder)}: give the folder NAME.alta that alta-export wrote")
    try:
        return _read_small(folder / MANIFEST_NAME, MAX_MANIFEST_BYTES)
    except FileNotFoundError as error:
        raise EngineError(f"not an engine: the folder holds no {MANIFEST_NAME}") from error


def _why_no_folder(path: Path) -> str:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return "not found"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "is a file, and no folder"


def _read_signature(folder: Path) -> bytes | None:
    try:
        return _read_small(folder / SIGNATURE_NAME, MAX_SIGNATURE_BYTES)
    except FileNotFoundError:
        return None


def _read_claim(folder: Path) -> str | None:
    """Return the key that a signature names; a file that is none is no reason to refuse where no key is trusted."""
    try:
        signature = _read_signature(folder)
        return None if signature is None else read_signer(signature)["key"]
    except IntegrityError:
        return NO_KEY


def _read_small(path: Path, most: int) -> bytes:
    """Return a file's bytes, one more than `most` of a longer one, which its parser refuses."""
    try:
        return read_bytes(path, most, links=False)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = error.strerror or "it is no plain file"
        raise IntegrityError(f"{path.name} cannot be read: {reason}; {AGAIN}") from error
