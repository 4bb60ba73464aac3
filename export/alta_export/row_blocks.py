"""The same image graph with its tokens in two parts: as many as whole blocks of rows, and the rest.

OpenVINO's products take 64 rows at a time and give threads whole blocks: of 197 tokens two threads get 128 and 69, and
one waits. Of 192 they get as many each, and the five that are left cost little. So everything that treats each token by
itself is done for both parts, and only attention sees them together. A row of a product, a norm or a sum knows nothing
of other rows: numbers stay the same, but for last bits where a kernel adds up in another order.

Whether it is faster depends on back end, processor and threads: it is measured where it is made (`tune`).
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper, numpy_helper

BLOCK = 64  # rows of a product that OpenVINO gives to one thread
# Operators that treat each token by itself, if all that they read is by token or a weight.
BY_TOKEN = {"LayerNormalization", "QuantizeLinear", "DequantizeLinear", "MatMul", "Add", "Gelu", "Split", "Cast"}
TOKEN_AXIS, TOKEN_RANK = 1, 3  # of (n, tokens, width)
PARTS = ("blocks", "rest")


def split_rows(graph: onnx.ModelProto) -> onnx.ModelProto | None:
    """Return a graph that gives the same with its tokens in two parts; None if there is nothing to gain.

    That is where a graph has no tokens, fewer than a block, or whole blocks of them.
    """
    shapes = read_shapes(graph)
    norms = [node.input[0] for node in graph.graph.node if node.op_type == "LayerNormalization"]
    counts = Counter(shape[TOKEN_AXIS] for name in norms if len(shape := shapes.get(name, ())) == TOKEN_RANK)
    tokens = counts.most_common(1)[0][0] if counts else 0
    if tokens < BLOCK or tokens % BLOCK == 0:
        return None
    split = onnx.ModelProto()
    split.CopyFrom(graph)
    by_token = {name for name, shape in shapes.items() if len(shape) == TOKEN_RANK and shape[TOKEN_AXIS] == tokens}
    nodes = Rows(split, by_token, tokens).rewrite()
    del split.graph.node[:], split.graph.value_info[:]
    split.graph.node.extend(nodes)
    onnx.checker.check_model(split, full_check=True)
    return split


def read_shapes(graph: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor, weights included, as far as it is known; 0 for a length that is free."""
    inferred = onnx.shape_inference.infer_shapes(graph, data_prop=True).graph
    return {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer} | {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in [*inferred.value_info, *inferred.output]
    }


class Rows:
    """Rewrites the nodes of one graph, in their order."""

    def __init__(self, graph: onnx.ModelProto, by_token: set[str], tokens: int) -> None:
        """by_token: tensors of shape (n, tokens, width). The graph gets the bounds of the parts as constants."""
        self._graph = graph.graph
        self._by_token = by_token
        self._weights = {tensor.name for tensor in self._graph.initializer}
        self._whole: set[str] = set()  # of the tensors by token, those that are there in one piece
        self._parted: set[str] = set()  # and those that are there in two
        self._nodes: list[onnx.NodeProto] = []
        edge = tokens // BLOCK * BLOCK
        for name, value in (("start", 0), ("edge", edge), ("end", tokens), ("axis", TOKEN_AXIS)):
            constant = numpy_helper.from_array(np.array([value], dtype=np.int64), f"rows.{name}")
            self._graph.initializer.append(constant)

    def rewrite(self) -> list[onnx.NodeProto]:
        """Return the nodes of the graph in two parts, in order."""
        for node in self._graph.node:
            read = [name for name in node.input if name and name not in self._weights]
            if not read and node.op_type != "Constant":
                self._weights.update(node.output)  # made of weights alone, such as one that is kept in 8 bits
            one_by_one = self._by_token.intersection(node.input) == set(read) and self._by_token.issuperset(node.output)
            if read and node.op_type in BY_TOKEN and one_by_one:
                self._add_twice(node, read)
            else:
                self._join(read)
                self._nodes.append(node)
                self._whole.update(node.output)
        self._join(value.name for value in self._graph.output)
        return self._nodes

    def _add_twice(self, node: onnx.NodeProto, read: list[str]) -> None:
        self._cut(read)
        for part in PARTS:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{node.name}.{part}"
            for place, name in enumerate(node.input):
                if name in read:
                    copy.input[place] = f"{name}.{part}"
            copy.output[:] = [f"{name}.{part}" for name in node.output]
            self._nodes.append(copy)
        self._parted.update(node.output)

    def _cut(self, names: Iterable[str]) -> None:
        """Let tensors be there in two parts."""
        for name in names:
            if name not in self._parted:
                for part, ends in zip(PARTS, (("start", "edge"), ("edge", "end")), strict=True):
                    bounds = [f"rows.{end}" for end in (*ends, "axis")]
                    self._nodes.append(helper.make_node("Slice", [name, *bounds], [f"{name}.{part}"]))
                self._parted.add(name)

    def _join(self, names: Iterable[str]) -> None:
        """Let tensors be there in one piece."""
        for name in names:
            if name in self._parted and name not in self._whole:
                parts = [f"{name}.{part}" for part in PARTS]
                self._nodes.append(helper.make_node("Concat", parts, [name], axis=TOKEN_AXIS))
                self._whole.add(name)
