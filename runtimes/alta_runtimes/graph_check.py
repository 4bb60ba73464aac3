"""Refuse a graph that is not of the kind that an export writes, before any back end reads it.

The threats: weights in another file, which no hash covers; loops and branches, which never end; shapes that take
all memory, when a back end folds constants or in the first run. So the operators are those of a list, everything
is inside the file, and the size of every tensor is worked out.
"""

import math
from typing import Any

import numpy as np

from .errors import IntegrityError
from .graph_shapes import ABSURD, MAX_ELEMENTS, MAX_VALUES, RULES, Tensor, check_sizes
from .onnx_wire import OUTSIDE, read_model

MAX_BYTES = 1 << 31  # of an ONNX file: what Protocol Buffers can hold
MAX_OPSET = 21
SYMBOLIC = 2  # the length of an axis whose length is free: radiographs, prompts, tokens
ITEM_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}  # by ONNX's number of a type
INT32, INT64 = 6, 7
SETTINGS = "ort_config"  # a note that onnxruntime follows, if its environment says so


def check_graph(data: bytes | memoryview, name: str) -> None:
    """Raise IntegrityError unless an ONNX file is a graph of ours: whole, of known operators, of a sane size."""
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
        for value in graph["input"]:
            tensors.setdefault(_named(value), _read_input(value))
        for node in graph["node"]:
            _check_operator(node)
        check_sizes(graph["node"], tensors)
    except IntegrityError as error:
        raise IntegrityError(f"{name} {error}: copy or export the bundle again") from error


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


def _read_input(value: dict[str, Any]) -> Tensor:
    shape = value.get("type", {}).get("tensor_type", {}).get("shape")
    if shape is None:
        raise IntegrityError("has an input of no shape")
    lengths = tuple(dim.get("value", SYMBOLIC) for dim in shape["dim"])
    if any(length < 1 for length in lengths) or math.prod(lengths) > MAX_ELEMENTS:
        raise IntegrityError(ABSURD)
    return Tensor(lengths)
