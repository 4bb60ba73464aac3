"""How a Matcher opens its engine, as one value."""

from dataclasses import dataclass

from ..dicom.files import PathLike
from ..engine.engine import Engine
from ..errors import EngineError


@dataclass(frozen=True)
class EngineOptions:
    """What `Engine.open` takes beside the path.

    device: "auto", "cpu" or "cuda"; "auto" takes the GPU where a runtime here can use it. runtime: None takes the
    fastest. threads: inside one run; None takes every processor. allow_build: build a TensorRT engine whose build was
    deferred, once; takes minutes. trust: a file of public keys, of which one must have signed the engine; None takes
    that of ALTA_TRUST.
    """

    device: str = "auto"
    runtime: str | None = None
    threads: int | None = None
    allow_build: bool = False
    trust: PathLike | None = None

    def open(self, engine: Engine | PathLike) -> Engine:
        """Open an engine, or return one that is open; raises what `Engine.open` raises.

        EngineError for options beside one that is open.
        """
        if isinstance(engine, Engine):
            if self != EngineOptions():
                raise EngineError("engine is already open: choose device, runtime, threads and trust in Engine.open")
            return engine
        return Engine.open(
            engine,
            device=self.device,
            runtime=self.runtime,
            threads=self.threads,
            allow_build=self.allow_build,
            trust=self.trust,
        )
