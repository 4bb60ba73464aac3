"""Write a bundle: every file into a temporary sibling, the manifest last, then one rename."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alta_sdk.engine.bundle import hash_file, read_manifest
from alta_sdk.engine.engine import Engine
from alta_sdk.engine.fusion import Head
from alta_sdk.engine.manifest import MANIFEST_NAME, BundleFile, Manifest
from alta_sdk.engine.own_files import list_bundle_files
from alta_sdk.errors import ExportError
from alta_sdk.files.folders import new_folder
from alta_training.model import AltaModel

from .towers import compute_missing_cls


def make_head(model: AltaModel) -> Head:
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
    return Head(
        **arrays,
        norm_eps=np.array(head.LayerNorm.eps),
        missing_cls=compute_missing_cls(model.image).numpy(),
    )


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return an .npz of arrays, without pickle."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def write_bundle(
    output: Path,
    contents: Mapping[str, bytes],
    describe: Callable[[tuple[BundleFile, ...]], Manifest],
    *,
    overwrite: bool,
    finish: Callable[[Path], object] = Engine.open,
) -> Manifest:
    """Write a bundle, open it as a user would, and only then give it its name.

    describe: makes the manifest from the list of files. finish: opens the folder, or builds what is to be built.
    Raises ExportError if it exists, cannot be written, or does not open; nothing is left behind.
    """
    writing = "the folder"
    try:
        with new_folder(output, overwrite=overwrite, list_own=list_bundle_files) as folder:
            for name, data in contents.items():
                writing = name
                (folder / name).write_bytes(data)
            files = tuple(
                BundleFile(name, len(data), hash_file(folder / name)) for name, data in sorted(contents.items())
            )
            manifest = describe(files)
            writing = MANIFEST_NAME
            (folder / MANIFEST_NAME).write_bytes(manifest.render())
            finish(folder)
            manifest = read_manifest(folder)
    except FileExistsError as error:
        raise ExportError(f"{output.name} exists: choose another --output, or replace it with --overwrite") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ExportError(f"{output.name}: {writing} cannot be written: {reason}; nothing was left behind") from error
    return manifest
