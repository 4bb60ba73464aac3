"""The local side of an engine: patches of a radiograph, in one space with the words of a phrase or the whole of it.

Where words are matched (ALTA), the patch graph is the image tower's last block for all tokens and the local head. It
goes on from the tokens that the image graph has computed before its last block, so a heat map costs one block more
than a score. It is loaded, and its self-test is run, when the first heat map is asked for: scores never wait for it.
Where whole phrases are matched (BioViL), the image graph itself gives the patches.
"""

import numpy as np
from numpy.typing import NDArray

from alta_runtimes import Session

from ..errors import EngineError
from .beside import GraphBeside
from .bundle import PATCH_GRAPH, Bundle
from .manifest_content import IMAGE, LOCAL_HEADS, PATCHES, PHRASE
from .self_test import Drift, require, run_patch_test
from .vectors import Vector, take_output


class PatchGraph:
    """The patches of an engine's radiographs; safe to use from several threads."""

    def __init__(self, bundle: Bundle, image: Session) -> None:
        """Take a verified bundle and its image graph, loaded; the patch graph is not loaded yet."""
        manifest = bundle.manifest
        self._bundle = bundle
        self._image = image
        self._image_graph = manifest.graphs[IMAGE]
        self._is_of_image = manifest.patch_match == PHRASE
        is_listed = PATCHES in manifest.graphs and manifest.lists(PATCH_GRAPH)
        is_there = LOCAL_HEADS in manifest.engine and is_listed and not self._is_of_image
        self._graph = GraphBeside(bundle, manifest.graphs[PATCHES], image, cpu=True) if is_there else None
        self._is_tested = False

    def encode(self, pixels: NDArray[np.uint8], slot: NDArray[np.int64]) -> Vector:
        """Project patches: pixels (n, 1, px, px) and slots (n,) to (n, patches, embedding), not normalised.

        The patches of a radiograph go row by row, from its top left. Raises EngineError for an engine
        that was exported without the patch graph.
        """
        if not self._is_of_image and self._graph is None:
            raise EngineError("engine has no patch graph, which heat maps need: export it again")
        seen = self._image.run(self._image_graph.select_inputs({"pixels": pixels, "slot": slot}))
        if self._graph is None:
            return list_places(take_output(seen, "patches", len(pixels), 4))
        tokens = take_output(seen, "tokens", len(pixels), 3)
        return take_output(self._graph.run({"tokens": tokens}), "patches", len(pixels), 3)

    def encode_tested(self, pixels: NDArray[np.uint8], slot: NDArray[np.int64]) -> Vector:
        """Do the same after the self-test passed on this machine; raises EngineError if it does not."""
        if not self._is_tested:
            require(run_patch_test(self._bundle, self.encode))
            self._is_tested = True
        return self.encode(pixels, slot)

    def run_self_test(self) -> list[Drift]:
        """Run the self-test of the patches: one drift, or none for an engine without them."""
        has_patches = self._is_of_image or self._bundle.manifest.engine.get(LOCAL_HEADS)
        return [run_patch_test(self._bundle, self.encode)] if has_patches else []

    def close(self) -> None:
        """Let go of the patch graph; it is loaded no more if it was not."""
        if self._graph is not None:
            self._graph.close()


def list_places(patches: Vector) -> Vector:
    """Return patches (n, embedding, side, side) as (n, side · side, embedding): row by row, from the top left."""
    rows, embedding = patches.shape[:2]
    return np.ascontiguousarray(patches.reshape(rows, embedding, -1).transpose(0, 2, 1))
