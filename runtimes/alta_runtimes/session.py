"""What every back end gives: a loaded graph that runs, and a line about the back end itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import EngineError

Tensor = NDArray[Any]
CANNOT_RUN = "graph could not run in {}: too little memory, or inputs that it was not exported for"


@dataclass(frozen=True)
class RuntimeInfo:
    """One back end as it stands on this machine.

    `version` is None when the back end is not installed; `reason` then says what is missing.
    `cuda_reason` says what is missing for an NVIDIA GPU, where the back end works without one.
    """

    name: str
    version: str | None
    devices: tuple[str, ...]
    reason: str = ""
    cuda_reason: str = ""

    @property
    def is_available(self) -> bool:
        """True if at least one device of this back end can run a graph here."""
        return bool(self.devices)


@dataclass(frozen=True)
class SessionInfo:
    """What a session got, read back from the back end, not what was asked."""

    runtime: str
    version: str
    device: str
    threads: int


class Session(Protocol):
    """One loaded graph. Safe to call from several threads at once."""

    @property
    def info(self) -> SessionInfo:
        """Back end, version, device and threads in use."""

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the graph once: arrays by input name in, arrays by output name out."""


def check_inputs(given: Mapping[str, Tensor], expected: tuple[str, ...]) -> dict[str, Tensor]:
    """Return the inputs C-contiguous; raise EngineError if the names differ from the graph's."""
    if set(given) != set(expected):
        raise EngineError(f"graph has {len(expected)} other inputs than {', '.join(sorted(given))}: export it again")
    return {name: np.ascontiguousarray(array) for name, array in given.items()}
