"""The size of every tensor of a graph, worked out operator by operator from its inputs' shapes, before it runs.

With lengths in place of free axes every shape is a number, and the small integer tensors that shapes are made of
have known values. A rule is called with a node's attributes and inputs and returns its outputs.
Source: the ONNX operator specification, opset 21.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import IntegrityError
from .graph_tensors import MAX_VALUES, Attributes, Inputs, Rule, Tensor, need, read_values
from .graph_windows import find_maximum, slide_kernels, slide_maximum, take_mean

MAX_ELEMENTS = 1 << 28  # of one tensor: 1 GiB in FP32
MAX_ALL_ELEMENTS = 1 << 31  # of every tensor of a graph together; the published size has 1 << 27
MAX_ALL_AT_WORK = 1 << 33  # the same of a run as large as any; BERT's base with 8 prompts of 512 tokens has 1 << 31
MAX_LIVE_ELEMENTS = 1 << 30  # of the weights and of the tensors that some operator still needs, at any moment
MAX_PRODUCTS = 1 << 42  # multiply-adds of one run; the published size has 1 << 36 for two radiographs
MAX_RANK = 8
ABSURD = "would take more memory or time than any engine needs"


def check_sizes(
    nodes: Sequence[dict[str, Any]], tensors: dict[str, Tensor], max_elements: int = MAX_ALL_ELEMENTS
) -> None:
    """Raise IntegrityError if shapes do not fit, cannot be told, or are absurd.

    nodes: in the order in which they run. tensors: the weights and inputs by name; the others are added.
    max_elements: of all tensors together.
    """
    elements = live = sum(tensor.elements for tensor in tensors.values())
    given, products = frozenset(tensors), 0
    last_use = {name: place for place, node in enumerate(nodes) for name in node["input"]}
    for place, node in enumerate(nodes):
        attributes = {item.get("name", ""): _read_attribute(item) for item in node["attribute"]}
        try:
            inputs = [tensors[name] if name else None for name in node["input"]]
            outputs = RULES[node["op_type"]](attributes, inputs)
            products += count_products(node["op_type"], inputs, outputs)
        except (LookupError, ValueError, TypeError, ArithmeticError, AttributeError) as error:
            raise IntegrityError("has shapes that do not fit together") from error
        if len(node["output"]) > len(outputs):
            raise IntegrityError("has an operator with more outputs than it can have")
        for name, tensor in zip(node["output"], outputs, strict=False):
            if name in tensors:
                raise IntegrityError("computes one tensor twice")
            if name:
                tensors[name] = tensor if tensor.elements <= MAX_VALUES else Tensor(tensor.shape)
            elements += tensor.elements
            live += tensor.elements
            if tensor.elements > MAX_ELEMENTS or len(tensor.shape) > MAX_RANK:
                raise IntegrityError(ABSURD)
        if elements > max_elements or live > MAX_LIVE_ELEMENTS or products > MAX_PRODUCTS:
            raise IntegrityError(ABSURD)
        done = {name for name in node["input"] if name and last_use[name] == place} - given
        live -= sum(tensors[name].elements for name in done)


def count_products(kind: str, inputs: Inputs, outputs: Sequence[Tensor]) -> int:
    """Count the multiply-adds of one product; 0 for other operators."""
    if kind not in ("MatMul", "Gemm", "Conv"):
        return 0
    weight = need(inputs, 1)
    if kind == "Conv":
        return outputs[0].elements * math.prod(weight.shape[1:])
    left = need(inputs, 0)
    return outputs[0].elements * max(left.shape[-2:]) if kind == "Gemm" else outputs[0].elements * left.shape[-1]


def _read_attribute(item: dict[str, Any]) -> Any:
    for name in ("i", "f", "s"):
        if name in item:
            return item[name]
    return next((item[name] for name in ("ints", "floats", "strings") if item[name]), None)


def _same(_: Attributes, inputs: Inputs) -> list[Tensor]:
    """Keep the shape of the first input; further outputs (of LayerNormalization) are no larger."""
    return [Tensor(need(inputs, 0).shape)] * 3


def _cast(attributes: Attributes, inputs: Inputs) -> list[Tensor]:
    is_integer = attributes["to"] in (6, 7)
    return [need(inputs, 0)] if is_integer else [Tensor(need(inputs, 0).shape)]


def _keep(_: Attributes, inputs: Inputs) -> list[Tensor]:
    return [need(inputs, 0)]


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of tensors that are stretched to each other; raise ValueError if they cannot be."""
    rank = max(map(len, shapes))
    lengths = []
    for axis in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True):
        wide = {length for length in axis if length != 1}
        if len(wide) > 1:
            raise ValueError("shapes differ")
        lengths.append(wide.pop() if wide else 1)
    return tuple(lengths)


def _by_element(compute: Callable[..., Any]) -> Rule:
    def rule(_: Attributes, inputs: Inputs) -> list[Tensor]:
        both = [need(inputs, 0), need(inputs, 1)]
        shape = broadcast(*(tensor.shape for tensor in both))
        known = [tensor.values for tensor in both if tensor.values is not None]
        if len(known) < 2 or math.prod(shape) > MAX_VALUES:
            return [Tensor(shape)]
        with np.errstate(over="ignore"):  # back ends wrap round, too
            return [Tensor(shape, np.asarray(compute(*known)))]

    return rule


def _matmul(_: Attributes, inputs: Inputs) -> list[Tensor]:
    left, right = need(inputs, 0).shape, need(inputs, 1).shape
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-2]:
        raise ValueError("a product of other shapes")
    return [Tensor((*broadcast(left[:-2], right[:-2]), left[-2], right[-1]))]


def _gemm(attributes: Attributes, inputs: Inputs) -> list[Tensor]:
    left, right = need(inputs, 0).shape, need(inputs, 1).shape
    rows, inner = left[::-1] if attributes.get("transA") else left
    again, columns = right[::-1] if attributes.get("transB") else right
    if inner != again:
        raise ValueError("a product of other shapes")
    return [Tensor((rows, columns))]


def _concat(attributes: Attributes, inputs: Inputs) -> list[Tensor]:
    parts = [need(inputs, index) for index in range(len(inputs))]
    axis = range(len(parts[0].shape))[attributes["axis"]]
    length = sum(part.shape[axis] for part in parts)
    if len({part.shape[:axis] + part.shape[axis + 1 :] for part in parts}) != 1:
        raise ValueError("parts of other shapes")
    known = [part.values for part in parts if part.values is not None]
    values = np.concatenate(known, axis=axis) if len(known) == len(parts) else None
    return [Tensor((*parts[0].shape[:axis], length, *parts[0].shape[axis + 1 :]), values)]


def _expand(_: Attributes, inputs: Inputs) -> list[Tensor]:
    wanted = tuple(read_values(inputs, 1))
    if any(length < 0 for length in wanted):
        raise ValueError("a negative length")
    return [Tensor(broadcast(need(inputs, 0).shape, wanted))]


def _gather(attributes: Attributes, inputs: Inputs) -> list[Tensor]:
    data, indices = need(inputs, 0), need(inputs, 1)
    axis = range(len(data.shape))[attributes.get("axis", 0)]
    known = data.values is not None and indices.values is not None
    values = np.take(data.values, indices.values, axis=axis) if known else None  # type: ignore[arg-type]
    return [Tensor((*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]), values)]


def _gather_elements(attributes: Attributes, inputs: Inputs) -> list[Tensor]:
    data, indices = need(inputs, 0).shape, need(inputs, 1).shape
    axis = range(len(data))[attributes.get("axis", 0)]
    others = [length for place, length in enumerate(data) if place != axis]
    taken = [length for place, length in enumerate(indices) if place != axis]
    if len(data) != len(indices) or any(one > other for one, other in zip(taken, others, strict=True)):
        raise ValueError("indices of another shape")
    return [Tensor(indices)]


def _reshape(attributes: Attributes, inputs: Inputs) -> list[Tensor]:
    data = need(inputs, 0)
    wanted = read_values(inputs, 1)
    if not attributes.get("allowzero"):
        wanted = [length or data.shape[axis] for axis, length in enumerate(wanted)]
    if -1 in wanted:
        free = wanted.index(-1)
        wanted[free] = 1
        wanted[free] = data.elements // math.prod(wanted)
    shape = tuple(wanted)
    if min(shape, default=0) < 0 or math.prod(shape) != data.elements:
        raise ValueError("as many elements in another shape")
    return [Tensor(shape, None if data.values is None else data.values.reshape(shape))]


def _shape(attributes: Attributes, inputs: Inputs) -> list[Tensor]:
    part = need(inputs, 0).shape[attributes.get("start", 0) : attributes.get("end")]
    return [Tensor((len(part),), np.array(part, dtype=np.int64))]


def _slice(_: Attributes, inputs: Inputs) -> list[Tensor]:
    data = need(inputs, 0)
    starts, ends = read_values(inputs, 1), read_values(inputs, 2)
    axes = read_values(inputs, 3) if len(inputs) > 3 and inputs[3] else list(range(len(starts)))
    steps = read_values(inputs, 4) if len(inputs) > 4 and inputs[4] else [1] * len(starts)
    cuts = [slice(None)] * len(data.shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        cuts[axis] = slice(start, end, step)
    shape = tuple(len(range(*cut.indices(length))) for cut, length in zip(cuts, data.shape, strict=True))
    return [Tensor(shape, None if data.values is None else data.values[tuple(cuts)])]


def _split(attributes: Attributes, inputs: Inputs) -> list[Tensor]:
    shape = need(inputs, 0).shape
    axis = range(len(shape))[attributes.get("axis", 0)]
    if len(inputs) > 1 and inputs[1]:
        lengths = read_values(inputs, 1)
    else:
        count = int(attributes["num_outputs"])
        lengths = [min(step := -(-shape[axis] // count), shape[axis] - step * i) for i in range(count)]
    if min(lengths) < 0 or sum(lengths) != shape[axis]:
        raise ValueError("parts that are not the whole")
    return [Tensor((*shape[:axis], length, *shape[axis + 1 :])) for length in lengths]


def _squeeze(_: Attributes, inputs: Inputs) -> list[Tensor]:
    data = need(inputs, 0)
    rank = len(data.shape)
    given = read_values(inputs, 1) if len(inputs) > 1 and inputs[1] else [i for i in range(rank) if data.shape[i] == 1]
    axes = {range(rank)[axis] for axis in given}
    if any(data.shape[axis] != 1 for axis in axes):
        raise ValueError("an axis that is longer than 1")
    return [_reshaped(data, tuple(length for axis, length in enumerate(data.shape) if axis not in axes))]


def _unsqueeze(_: Attributes, inputs: Inputs) -> list[Tensor]:
    data, given = need(inputs, 0), read_values(inputs, 1)
    rank = len(data.shape) + len(given)
    axes = {range(rank)[axis] for axis in given}
    rest = iter(data.shape)
    return [_reshaped(data, tuple(1 if axis in axes else next(rest) for axis in range(rank)))]


def _reshaped(data: Tensor, shape: tuple[int, ...]) -> Tensor:
    return Tensor(shape, None if data.values is None else data.values.reshape(shape))


def _transpose(attributes: Attributes, inputs: Inputs) -> list[Tensor]:
    shape = need(inputs, 0).shape
    order = attributes.get("perm") or list(range(len(shape)))[::-1]
    if sorted(order) != list(range(len(shape))):
        raise ValueError("an order of other axes")
    return [Tensor(tuple(shape[axis] for axis in order))]


RULES: dict[str, Rule] = {
    "Add": _by_element(np.add),
    "ArgMax": find_maximum,
    "Cast": _cast,
    "Concat": _concat,
    "Conv": slide_kernels,
    "DequantizeLinear": _same,
    "Expand": _expand,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Gelu": _same,
    "Gemm": _gemm,
    "Identity": _keep,
    "LayerNormalization": _same,
    "MatMul": _matmul,
    "MaxPool": slide_maximum,
    "Mul": _by_element(np.multiply),
    "QuantizeLinear": _same,
    "ReduceMean": take_mean,
    "Relu": _same,
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": _same,
    "Slice": _slice,
    "Softmax": _same,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sub": _by_element(np.subtract),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
