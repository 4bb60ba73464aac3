"""A loaded graph that is asked for no run before its size is known: each shape of inputs is worked out once."""

from collections.abc import Mapping

import numpy as np

from .graph_check import GraphSizes
from .session import Session, SessionInfo, Tensor


class SizedSession:
    """A graph in a back end, and what the sizes of its tensors are worked out from."""

    def __init__(self, session: Session, sizes: GraphSizes) -> None:
        """Pass every run on to a loaded graph."""
        self._session = session
        self._sizes = sizes
        self._checked: set[tuple[tuple[str, tuple[int, ...]], ...]] = set()

    @property
    def info(self) -> SessionInfo:
        """Back end, version, device and threads in use."""
        return self._session.info

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the graph once; raises IntegrityError for a run that would take more than any engine needs."""
        shapes = tuple((name, np.shape(array)) for name, array in sorted(inputs.items()))
        if shapes not in self._checked:
            self._sizes.check_shapes(dict(shapes))
            self._checked.add(shapes)
        return self._session.run(inputs)
