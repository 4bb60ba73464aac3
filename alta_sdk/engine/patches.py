"""The local side of an engine: patches of a radiograph and words of a phrase in one space.

The patch graph is the image tower's last block for all tokens and the local head. It goes on from the
tokens that the image graph has computed before its last block, so a heat map costs one block more than a
score. It is loaded, and its self-test is run, when the first heat map is asked for: scores never wait for it.
"""

import threading

import numpy as np
from numpy.typing import NDArray

from alta_runtimes import Session, load

from ..errors import EngineError
from .bundle import PATCH_GRAPH, Bundle
from .closing import ClosableSession
from .manifest_content import LOCAL_HEADS, PATCHES
from .self_test import Drift, require, run_patch_test
from .vectors import Vector, take_output

ONNX_RUNTIMES = ("onnxruntime", "openvino")


class PatchGraph:
    """The patches of an engine's radiographs; safe to use from several threads."""

    def __init__(self, bundle: Bundle, image: Session) -> None:
        """Take a verified bundle and its image graph, loaded; the patch graph is not loaded yet."""
        self._bundle = bundle
        self._image = image
        self._session: ClosableSession | None = None
        self._is_tested = False
        self._lock = threading.Lock()

    def encode(self, pixels: NDArray[np.uint8], slot: NDArray[np.int64]) -> Vector:
        """Project patches: pixels (n, 1, px, px) and slots (n,) to (n, patches, embedding), not normalised.

        The patches of a radiograph go row by row, from its top left. Raises EngineError for an engine
        that was exported without the patch graph.
        """
        session = self._open()
        tokens = take_output(self._image.run({"pixels": pixels, "slot": slot}), "tokens", len(pixels), 3)
        return take_output(session.run({"tokens": tokens}), "patches", len(pixels), 3)

    def encode_tested(self, pixels: NDArray[np.uint8], slot: NDArray[np.int64]) -> Vector:
        """Do the same after the self-test passed on this machine; raises EngineError if it does not."""
        if not self._is_tested:
            self._open()
            require(run_patch_test(self._bundle, self.encode))
            self._is_tested = True
        return self.encode(pixels, slot)

    def run_self_test(self) -> list[Drift]:
        """Run the self-test of the patches: one drift, or none for an engine without the patch graph."""
        return [run_patch_test(self._bundle, self.encode)] if self._bundle.manifest.engine.get(LOCAL_HEADS) else []

    def close(self) -> None:
        """Let go of the patch graph; it is loaded no more if it was not, since the image graph is closed then."""
        with self._lock:
            if self._session is not None:
                self._session.close()

    def _open(self) -> Session:
        with self._lock:
            if self._session is None:
                manifest = self._bundle.manifest
                is_listed = PATCHES in manifest.graphs and any(file.name == PATCH_GRAPH for file in manifest.files)
                if LOCAL_HEADS not in manifest.engine or not is_listed:
                    raise EngineError("engine has no patch graph, which heat maps need: export it again")
                info = self._image.info
                runtime = info.runtime if info.runtime in ONNX_RUNTIMES else ONNX_RUNTIMES[0]
                # On the CPU also beside a GPU engine, whose session may count no threads.
                threads = info.threads or None
                with self._bundle.copy(PATCH_GRAPH) as graph:  # proven again: it may have changed since the opening
                    loaded = load(graph, name=PATCH_GRAPH, device="cpu", threads=threads, runtime=runtime)
                self._session = ClosableSession(loaded)
            return self._session
