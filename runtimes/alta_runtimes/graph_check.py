"""Refuse a graph that is not of the kind that an export writes, before any back end reads it.

The threats: weights in another file, which no hash covers; loops and branches, which never end; shapes that take
all memory, when a back end folds constants, in the first run, or in the first run of a longer prompt. So the
operators are those of a list, everything is inside the file, and the size of every tensor is worked out: when the
graph is loaded, and again before inputs of another shape run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import IntegrityError
from .graph_shapes import ABSURD, MAX_ALL_AT_WORK, MAX_ELEMENTS, RULES, check_sizes
from .graph_tensors import MAX_VALUES, Tensor
from .onnx_wire import OUTSIDE, read_model

MAX_BYTES = 1 << 31  # of an ONNX file: what Protocol Buffers can hold
MAX_OPSET = 21
SYMBOLIC = 2  # the length of an axis whose length is free: radiographs, prompts, tokens
ITEM_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}  # by ONNX's number of a type
INT32, INT64 = 6, 7
SETTINGS = "ort_config"  # a note that onnxruntime follows, if its environment says so


AGAIN = "copy or export the bundle again"
Axes = tuple[int | None, ...]  # the lengths of an input's axes; None where a length is free
Lengths = tuple[int, int]  # what stands for free lengths: of an input's first axis (rows), and of its others (tokens)


@dataclass(frozen=True, eq=False)
class GraphSizes:
    """What the size of every tensor of a graph is worked out from, for inputs of any shape; no weight's bytes.

    name: of the graph in messages.
    """

    name: str
    nodes: Sequence[dict[str, Any]]
    weights: Mapping[str, Tensor]
    inputs: Mapping[str, Axes]

    def check_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise IntegrityError if a run with inputs of these shapes would take more than any engine needs.

        Inputs that the graph does not have, or of axes that it does not take, are left to the back end to refuse.
        """
        if shapes.keys() != self.inputs.keys() or not all(
            _fit(axes, shapes[name]) for name, axes in self.inputs.items()
        ):
            return
        try:
            given = {name: Tensor(tuple(map(int, shape))) for name, shape in shapes.items()}
            check_sizes(self.nodes, {**self.weights, **given}, MAX_ALL_AT_WORK)
        except IntegrityError as error:
            raise IntegrityError(f"{self.name} {error}: {AGAIN}") from error

    def check_lengths(self, lengths: Lengths) -> None:
        """Raise IntegrityError if a run with these lengths in place of the free ones would take so much."""
        self.check_shapes({name: tuple(_fill(axes, lengths)) for name, axes in self.inputs.items()})


def _fit(axes: Axes, shape: tuple[int, ...]) -> bool:
    return len(axes) == len(shape) and all(axis in (None, length) for axis, length in zip(axes, shape, strict=True))


def _fill(axes: Axes, lengths: Lengths) -> list[int]:
    return [lengths[min(place, 1)] if axis is None else axis for place, axis in enumerate(axes)]


def check_graph(data: bytes | memoryview, name: str, longest: Lengths | None = None) -> GraphSizes:
    """Raise IntegrityError unless an ONNX file is a graph of ours: whole, of known operators, of a sane size.

    longest: the largest lengths that its free axes will have, where they are known. Returns what the sizes of other
    inputs are worked out from.
    """
    try:
        if len(data) >= MAX_BYTES:
            raise IntegrityError("is larger than an ONNX file can be")
        model = read_model(data)
        graph = model.get("graph")
        if graph is None:
            raise IntegrityError("is not an ONNX file: it holds no graph")
        _check_opsets(model["opset_import"])
        if any(note.get("key") == SETTINGS for note in model["metadata_props"]):
            raise IntegrityError("holds settings for onnxruntime, which no export of alta-sdk writes")
        tensors = {_named(item): _read_constant(item) for item in graph["initializer"]}
        if len(tensors) != len(graph["initializer"]):
            raise IntegrityError("holds two weights of one name")
        inputs = {_named(value): _read_input(value) for value in graph["input"] if _named(value) not in tensors}
        for node in graph["node"]:
            _check_operator(node)
        short = {one: Tensor(tuple(_fill(axes, (SYMBOLIC, SYMBOLIC)))) for one, axes in inputs.items()}
        check_sizes(graph["node"], {**tensors, **short})
    except IntegrityError as error:
        raise IntegrityError(f"{name} {error}: {AGAIN}") from error
    sizes = GraphSizes(name, graph["node"], tensors, inputs)
    if longest is not None:
        sizes.check_lengths(longest)
    return sizes


def _check_opsets(opsets: list[dict[str, Any]]) -> None:
    for opset in opsets:
        domain, version = opset.get("domain", ""), opset.get("version", 0)
        if domain or not 1 <= version <= MAX_OPSET:
            raise IntegrityError(f"needs other operators than those of standard ONNX up to opset {MAX_OPSET}")


def _check_operator(node: dict[str, Any]) -> None:
    kind = node.get("op_type", "")
    if node.get("domain", "") or kind not in RULES:
        raise IntegrityError(f"holds the operator {kind[:40]!a}, which no export of alta-sdk writes")


def _named(item: dict[str, Any]) -> str:
    name: str = item.get("name", "")
    if not name:
        raise IntegrityError("holds a tensor without a name")
    return name


def _read_constant(item: dict[str, Any]) -> Tensor:
    """Take the shape of a weight, and the values of one that may be a shape; its bytes must be all there."""
    if item.get("data_location", 0) != 0:
        raise IntegrityError(f"holds {OUTSIDE}, which no export of alta-sdk writes")
    shape, kind = tuple(item["dims"]), item.get("data_type", 0)
    if kind not in ITEM_BYTES or any(length < 0 for length in shape) or math.prod(shape) > MAX_ELEMENTS:
        raise IntegrityError("holds a weight of an absurd shape or type")
    raw = item.get("raw_data", b"")
    stored = len(raw) // ITEM_BYTES[kind] if raw else _count_typed(item)
    if stored != math.prod(shape) or len(raw) % ITEM_BYTES[kind]:
        raise IntegrityError("holds a weight whose bytes are not all there")
    if kind not in (INT32, INT64) or not raw or stored > MAX_VALUES:
        return Tensor(shape)
    return Tensor(shape, np.frombuffer(raw, dtype="<i8" if kind == INT64 else "<i4").astype(np.int64).reshape(shape))


def _count_typed(item: dict[str, Any]) -> int:
    """Count the values of a weight that is stored by type: 4 or 8 bytes each, or numbers of seven bits a byte."""
    ends = sum(
        int(np.count_nonzero(np.frombuffer(item[name], np.uint8) < 0x80))
        for name in ("int32_data", "int64_data")
        if name in item
    )
    return ends + len(item.get("float_data", b"")) // 4 + len(item.get("double_data", b"")) // 8


def _read_input(value: dict[str, Any]) -> Axes:
    shape = value.get("type", {}).get("tensor_type", {}).get("shape")
    if shape is None:
        raise IntegrityError("has an input of no shape")
    axes = tuple(dim.get("value") for dim in shape["dim"])
    lengths = _fill(axes, (SYMBOLIC, SYMBOLIC))
    if any(length < 1 for length in lengths) or math.prod(lengths) > MAX_ELEMENTS:
        raise IntegrityError(ABSURD)
    return axes
