"""A radiograph beside its prior, for families that read the prior inside the image tower: BioViL-T.

The fuse graph takes the features of both, which know nothing of their dates: those that a radiograph had when it was
current are those that it has as a prior. Pairs run one by one, so a vector does not depend on its company.
"""

from typing import Any

from numpy.typing import NDArray

from alta_runtimes import Session

from ..errors import EngineError
from .beside import GraphBeside
from .bundle import Bundle
from .closing import ClosableSession
from .image_encoder import ImageEncoder
from .manifest_content import FEATURES, FUSE, PRIOR_FEATURES, compute_type
from .patches import list_places
from .self_test import Drift, run_pair_test
from .vectors import Vector, take_output


class FuseGraph:
    """The fuse graph of an engine, or what says that it has none; safe to use from several threads."""

    def __init__(self, bundle: Bundle, image: Session, images: ImageEncoder, plan: Session | None = None) -> None:
        """Take a verified bundle, its image graph and what encodes with it; plan: of a built TensorRT engine."""
        graph = bundle.manifest.graphs.get(FUSE)
        compute = compute_type(bundle.manifest.engine["precision"])
        self._bundle = bundle
        self._images = images
        self._graph: GraphBeside | ClosableSession | None = None
        if plan is not None:
            self._graph = ClosableSession(plan)
        elif graph is not None:
            self._graph = GraphBeside(bundle, graph, image, cpu=False, compute=compute)

    def project(self, features: Vector, prior_features: Vector) -> Vector:
        """Project a current radiograph beside its prior, by features (channels, side, side): (embedding,) float32.

        Not normalised. Raises EngineError for an engine without the graph.
        """
        projection: Vector = take_output(self._run(features, prior_features), "projection", 1, 2)[0]
        return projection

    def project_patches(self, features: Vector, prior_features: Vector) -> Vector:
        """Project the current radiograph's patches beside its prior: (patches, embedding), not normalised."""
        patches: Vector = list_places(take_output(self._run(features, prior_features), "patches", 1, 4))[0]
        return patches

    def run_self_test(self, rows: int | None = None) -> list[Drift]:
        """Run the self-test of pairs, or of `rows` of them: one drift, or none for an engine without the graph."""
        return [] if self._graph is None else [run_pair_test(self._bundle, self._images, self.project, rows)]

    def close(self) -> None:
        """Let go of the graph."""
        if self._graph is not None:
            self._graph.close()

    def _run(self, features: Vector, prior_features: Vector) -> dict[str, NDArray[Any]]:
        if self._graph is None:
            raise EngineError("engine reads no prior inside its image tower: choose another fusion mode")
        return self._graph.run({FEATURES: features[None], PRIOR_FEATURES: prior_features[None]})
