"""Write a bundle: every file into a temporary sibling, the manifest last, then one rename."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alta_sdk.engine.bundle import open_bundle, read_manifest
from alta_sdk.engine.engine import Engine
from alta_sdk.engine.heads import MlpHead
from alta_sdk.engine.manifest import MANIFEST_NAME, BundleFile, Manifest
from alta_sdk.engine.own_files import list_bundle_files
from alta_sdk.engine.self_test import require
from alta_sdk.engine.sessions import list_kept
from alta_sdk.engine.signature import SIGNATURE_NAME, sign
from alta_sdk.engine.trial import try_engine
from alta_sdk.errors import ExportError
from alta_sdk.files.folders import new_folder
from alta_training.model import AltaModel

from .towers import compute_missing_cls


def make_head(model: AltaModel) -> MlpHead:
    """Take the global head and the missing slots' constants out of a model."""
    head = model.image.projection_head
    layers = {
        "hidden": head.dense_to_hidden,
        "norm": head.LayerNorm,
        "output": head.dense_to_output,
    }
    arrays: dict[str, Any] = {
        f"{layer}_{kind}": getattr(module, kind).detach().double().numpy()
        for layer, module in layers.items()
        for kind in ("weight", "bias")
    }
    return MlpHead(
        **arrays,
        norm_eps=np.array(head.LayerNorm.eps),
        missing_cls=compute_missing_cls(model.image).numpy(),
    )


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return an .npz of arrays, without pickle."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def open_written(folder: Path) -> Engine:
    """Open a bundle that was just written, as a user would; whom this machine trusts does not matter yet."""
    return Engine.start(open_bundle(folder, keep=list_kept))


def try_written(folder: Path) -> None:
    """Run the whole self-test of a bundle that was just written as `alta inspect --verify` does: under limits.

    Raises EngineError if it does not open, is stopped, or is further from the reference than its manifest allows.
    """
    for drift in try_engine(folder, is_own=True):
        require(drift)


def check_manifest(manifest: Manifest) -> None:
    """Raise ExportError if a manifest says what it could not be read again with."""
    try:
        manifest.check()
    except ValueError as error:
        raise ExportError(f"the manifest cannot be written: {error}; mend the checkpoint's own statements") from error


def write_bundle(
    output: Path,
    contents: Mapping[str, bytes],
    describe: Callable[[tuple[BundleFile, ...]], Manifest],
    *,
    overwrite: bool,
    finish: Callable[[Path], object] = open_written,
    sign_with: Any = None,
) -> Manifest:
    """Write a bundle, open it as a user would, and only then give it its name.

    describe: makes the manifest from the list of files. finish: opens the folder, or builds what is to be built.
    sign_with: a private key, or None for an engine that is not signed.
    Raises ExportError if it exists, cannot be written, or does not open; nothing is left behind.
    """
    writing = "the folder"
    try:
        with new_folder(output, overwrite=overwrite, list_own=list_bundle_files) as folder:
            for name, data in contents.items():
                writing = name
                (folder / name).write_bytes(data)
            files = tuple(BundleFile.of(name, data) for name, data in sorted(contents.items()))
            manifest = describe(files)
            check_manifest(manifest)
            writing = MANIFEST_NAME
            (folder / MANIFEST_NAME).write_bytes(manifest.render())
            finish(folder)
            manifest = read_manifest(folder)
            if sign_with is not None:
                writing = SIGNATURE_NAME
                (folder / SIGNATURE_NAME).write_bytes(sign(manifest.render(), sign_with))
    except FileExistsError as error:
        raise ExportError(f"{output.name} exists: choose another --output, or replace it with --overwrite") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ExportError(f"{output.name}: {writing} cannot be written: {reason}; nothing was left behind") from error
    return manifest
