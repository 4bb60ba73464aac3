"""An ONNX graph as it is searched: its constant tensors by name, who reads a value, and products with their biases."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from alta_sdk.errors import CheckpointError, RuntimeUnavailable


@dataclass(frozen=True, eq=False)
class Graph:
    """An ONNX graph; given: its constant tensors by name; after: the nodes that read a value, by its name."""

    model: Any
    given: dict[str, NDArray[Any]]
    after: dict[str, list[Any]]


def read_graph(content: bytes) -> Graph:
    """Read an ONNX file's bytes.

    Raises CheckpointError if they are not one, or if weights lie in another file; RuntimeUnavailable without onnx.
    """
    try:
        import onnx
    except ImportError as error:
        raise RuntimeUnavailable("reading an ONNX file needs onnx: pip install 'alta-sdk[export]'") from error
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # protobuf's own class, or ValueError
        raise CheckpointError("source cannot be read: it is damaged or not ONNX") from error
    if not model.graph.node:
        raise CheckpointError("source cannot be read: it is damaged or not ONNX")
    after: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            after.setdefault(name, []).append(node)
    return Graph(model, _read_constants(model), after)


def list_products(graph: Graph) -> Iterator[tuple[Any, str]]:
    """Give each product with constant weights and the name of its bias."""
    for node in graph.model.graph.node:
        if node.op_type not in ("MatMul", "Gemm") or node.input[1] not in graph.given:
            continue
        if node.op_type == "Gemm":
            biases = list(node.input[2:])
        else:
            adds = [add for add in graph.after.get(node.output[0], []) if add.op_type == "Add"]
            biases = [name for add in adds for name in add.input if name in graph.given]
        if biases and biases[0].endswith(".bias"):
            yield node, biases[0]


def _read_constants(model: Any) -> dict[str, NDArray[Any]]:
    from onnx import TensorProto, numpy_helper

    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            name = node.output[0]
            tensors.update((name, item.t) for item in node.attribute if item.name == "value")
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors.values()):
        raise CheckpointError("source's weights lie in another file: save the ONNX model as one file")
    try:
        given = {name: numpy_helper.to_array(tensor) for name, tensor in tensors.items()}
    except (ValueError, TypeError) as error:
        raise CheckpointError("source cannot be read: a tensor of its graph is damaged") from error
    for node in model.graph.node:
        if node.op_type == "Identity" and node.input[0] in given:  # equal tensors are stored once
            given[node.output[0]] = given[node.input[0]]
    return given
