"""The head of an engine, from what the image graph gives to the shared space, by the kind that head.npz names.

In numpy: a head is a product or two, and so every runtime and precision shares this exact code. The kind is a word in
the file, never code: "mlp" (ALTA), "linear" (CLIP), "none" (the graph itself ends in the shared space). A file without
the word is of the first release, which knew "mlp" alone.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import IntegrityError
from ..study.slots import Slot
from .arrays import list_arrays, read_arrays, read_word
from .bundle import HEAD, Bundle
from .manifest_content import LINEAR, MLP, NO_HEAD
from .vectors import Vector, without_warnings

KIND = "kind"  # the name of the word in head.npz
Wide = NDArray[np.float64]


class Head(ABC):
    """What projects the vectors of an image graph to the shared space, in float64."""

    kind: ClassVar[str]

    @staticmethod
    def read(data: bytes, file: str, embedding: int) -> "Head":
        """Read the bytes of head.npz; embedding: the dimensions of the shared space.

        file: what to call it in a message. Raises IntegrityError for a kind that is not known, and if an array is
        missing or of another shape.
        """
        names = list_arrays(data, file)
        kind = read_word(data, KIND, file) if KIND in names else MLP
        if kind == MLP:
            return MlpHead(**_read_wide(data, MlpHead, file)).require_fit(file, embedding)
        if kind == LINEAR:
            bias = _read_one(data, "bias", file) if "bias" in names else None
            return LinearHead(_read_one(data, "weight", file), bias).require_fit(file, embedding)
        if kind == NO_HEAD:
            return NoHead(embedding)
        raise IntegrityError(f"{file} holds a head of a kind that is not known: upgrade alta-sdk or export it again")

    def require_fit(self, file: str, embedding: int) -> "Head":
        """Return itself; raise IntegrityError if an array is of another shape."""
        if not self._fits(embedding):
            raise IntegrityError(f"{file} holds a head of another shape: export the bundle again")
        return self

    @property
    @abstractmethod
    def width(self) -> int:
        """The length of the vector that it reads."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what head.npz holds of it, by name."""

    @abstractmethod
    def project(self, vectors: NDArray[np.floating[Any]]) -> Vector:
        """Project vectors (n, width) to the shared space: (n, embedding) float32, not normalised."""

    @abstractmethod
    def _fits(self, embedding: int) -> bool: ...


@dataclass(frozen=True, eq=False)
class MlpHead(Head):
    """ALTA's global projection head and the CLS of each missing slot.

    hidden_weight: (hidden, width); output_weight: (embedding, hidden); missing_cls: (3, width), for the
    current lateral, prior frontal and prior lateral.
    """

    kind: ClassVar[str] = MLP

    hidden_weight: Wide
    hidden_bias: Wide
    norm_weight: Wide
    norm_bias: Wide
    norm_eps: Wide
    output_weight: Wide
    output_bias: Wide
    missing_cls: Wide

    @property
    def width(self) -> int:
        """The length of a CLS vector."""
        return int(self.hidden_weight.shape[1])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return its arrays, and no word: the file is as it always was."""
        return dict(vars(self))

    def project(self, vectors: NDArray[np.floating[Any]]) -> Vector:
        """Project fused CLS vectors (n, width) to the shared space: (n, embedding) float32, not normalised."""
        with without_warnings():
            return self._project(vectors)

    def _project(self, vectors: NDArray[np.floating[Any]]) -> Vector:
        hidden = _gelu(vectors.astype(np.float64) @ self.hidden_weight.T + self.hidden_bias)
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        normed = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.norm_eps)
        scaled = normed * self.norm_weight + self.norm_bias
        projected: Vector = (scaled @ self.output_weight.T + self.output_bias).astype(np.float32)
        return projected

    def _fits(self, embedding: int) -> bool:
        hidden, width = self.hidden_weight.shape if self.hidden_weight.ndim == 2 else (0, 0)
        shapes = ((hidden, width), *((hidden,),) * 3, (), (embedding, hidden), (embedding,), (len(Slot) - 1, width))
        return hidden > 0 and all(
            array.shape == shape for array, shape in zip(vars(self).values(), shapes, strict=True)
        )


@dataclass(frozen=True, eq=False)
class LinearHead(Head):
    """One matrix, as CLIP has it. weight: (embedding, width); bias: (embedding,) or None."""

    kind: ClassVar[str] = LINEAR

    weight: Wide
    bias: Wide | None = None

    @property
    def width(self) -> int:
        """The length of the vector that it reads."""
        return int(self.weight.shape[1])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the word, the weight and, if there is one, the bias."""
        word = {KIND: np.array(LINEAR.encode()), "weight": self.weight}
        return word if self.bias is None else {**word, "bias": self.bias}

    def project(self, vectors: NDArray[np.floating[Any]]) -> Vector:
        """Project vectors (n, width) to the shared space: (n, embedding) float32, not normalised."""
        with without_warnings():
            wide = vectors.astype(np.float64) @ self.weight.T
            projected: Vector = (wide if self.bias is None else wide + self.bias).astype(np.float32)
        return projected

    def _fits(self, embedding: int) -> bool:
        is_matrix = self.weight.ndim == 2 and self.weight.shape[0] == embedding and self.weight.shape[1] > 0
        return is_matrix and (self.bias is None or self.bias.shape == (embedding,))


@dataclass(frozen=True, eq=False)
class NoHead(Head):
    """No head: the graph's vectors are the projections, of `embedding` dimensions."""

    kind: ClassVar[str] = NO_HEAD

    embedding: int

    @property
    def width(self) -> int:
        """The length of the vector that it reads, which is that of the shared space."""
        return self.embedding

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the word alone."""
        return {KIND: np.array(NO_HEAD.encode())}

    def project(self, vectors: NDArray[np.floating[Any]]) -> Vector:
        """Return the vectors (n, embedding) in float32."""
        return np.asarray(vectors, dtype=np.float32)

    def _fits(self, embedding: int) -> bool:
        return self.embedding == embedding


def read_head(bundle: Bundle) -> Head:
    """Return the head of a verified bundle; raise IntegrityError if it is not of the kind that the manifest says."""
    manifest = bundle.manifest
    head = Head.read(bundle.read(HEAD), HEAD, manifest.sizes["embedding"])
    if head.kind != manifest.head:
        raise IntegrityError(f'{HEAD} holds a head of kind "{head.kind}", not "{manifest.head}": export it again')
    return head


def _read_wide(data: bytes, kind: type[MlpHead], file: str) -> dict[str, Wide]:
    arrays = read_arrays(data, [field.name for field in fields(kind)], file)
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def _read_one(data: bytes, name: str, file: str) -> Wide:
    wide: Wide = read_arrays(data, [name], file)[name].astype(np.float64)
    return wide


_erf = np.vectorize(math.erf, otypes=[np.float64])  # numpy has none, and scipy is 100 MB


def _gelu(values: Wide) -> Wide:
    return np.asarray(0.5 * values * (1.0 + _erf(values / math.sqrt(2.0))), dtype=np.float64)
