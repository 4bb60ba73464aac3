"""From a merged tower to a portable ONNX graph: standard operators, weights inside, batch dynamic."""

import ast
import logging
import warnings
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn

from alta_sdk.engine.manifest_content import FEATURES, PRIOR_FEATURES
from alta_sdk.errors import ExportError
from alta_training.model.sizes import ImageSizes

OPSET = 21
IR_VERSION = 10
EXAMPLE_BATCH = 2  # with 1 the exporter would make the batch a constant
EXAMPLE_TOKENS = 16
WEIGHT_RANKS = {"MatMul": 2, "Gemm": 2, "Conv": 4}  # of products: operators that take a weight, and its axes
SCOPES = "pkg.torch.onnx.name_scopes"  # the exporter's note of the modules that a node comes from


@dataclass(frozen=True)
class GraphInput:
    """One input of a graph: an example and the names of the axes whose length may change."""

    name: str
    example: Tensor
    dynamic_axes: dict[int, str]


def image_inputs(image_px: int) -> list[GraphInput]:
    """Describe the image graph's inputs: pixels (n, 1, px, px) uint8 and slot (n,) int64."""
    pixels = torch.zeros(EXAMPLE_BATCH, 1, image_px, image_px, dtype=torch.uint8)
    slot = torch.zeros(EXAMPLE_BATCH, dtype=torch.int64)
    return [GraphInput("pixels", pixels, {0: "n"}), GraphInput("slot", slot, {0: "n"})]


def pixel_inputs(px: int) -> list[GraphInput]:
    """Describe the input of an image graph that knows no slots: pixels (n, 1, px, px) uint8."""
    return image_inputs(px)[:1]


def feature_inputs(width: int, side: int) -> list[GraphInput]:
    """Describe the fuse graph's inputs: features of a radiograph and of its prior, (n, width, side, side) float32.

    Two tensors, though both are the same numbers: of one object the exporter makes one input.
    """
    example = torch.zeros(EXAMPLE_BATCH, width, side, side)
    return [GraphInput(name, example.clone(), {0: "n"}) for name in (FEATURES, PRIOR_FEATURES)]


def text_inputs() -> list[GraphInput]:
    """Describe the text graph's inputs: input_ids and attention_mask (n, tokens) int64."""
    example = torch.ones(EXAMPLE_BATCH, EXAMPLE_TOKENS, dtype=torch.int64)
    axes = {0: "n", 1: "tokens"}
    return [GraphInput("input_ids", example, axes), GraphInput("attention_mask", example.clone(), axes)]


def token_inputs(context: int) -> list[GraphInput]:
    """Describe the input of a text graph that needs no mask: input_ids (n, tokens) int64, tokens at most context."""
    ids = text_inputs()[0]
    return [GraphInput(ids.name, ids.example[:, :context], ids.dynamic_axes)]


def patch_inputs(sizes: ImageSizes) -> list[GraphInput]:
    """Describe the patch graph's input: the tokens before the last block, (n, 1 + patches, width) float32."""
    return [GraphInput("tokens", torch.zeros(EXAMPLE_BATCH, 1 + sizes.patches, sizes.width), {0: "n"})]


def export_graph(tower: nn.Module, inputs: list[GraphInput], outputs: list[str]) -> onnx.ModelProto:
    """Export a tower to ONNX and check the graph.

    Raises ExportError if the exporter or the checker refuses it, or if the graph is not portable.
    """
    dimensions = {name: torch.export.Dim(name) for item in inputs for name in item.dynamic_axes.values()}
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter warns about its own internals
            _quiet_exporter()
            program = torch.onnx.export(
                tower.eval(),
                tuple(item.example for item in inputs),
                dynamo=True,
                opset_version=OPSET,
                input_names=[item.name for item in inputs],
                output_names=outputs,
                dynamic_shapes=tuple(
                    {axis: dimensions[name] for axis, name in item.dynamic_axes.items()} for item in inputs
                ),
                verbose=False,
            )
        graph: onnx.ModelProto = strip_build_notes(spare_pixels(name_products(program.model_proto)))  # type: ignore[union-attr]
        onnx.checker.check_model(graph, full_check=True)
    except Exception as error:  # the exporter raises many kinds
        raise ExportError(f"graph with outputs {', '.join(outputs)} cannot be exported to ONNX") from error
    check_portable(graph)
    return graph


def name_products(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Name each product with a weight after its layer, such as blocks.0.fc1, instead of by a running number.

    A precision plan, a calibration and a table of drift then name layers that a person can find, and that
    the next version of the exporter names the same.
    """
    for node in find_products(graph).values():
        notes = {note.key: note.value for note in node.metadata_props}
        node.name = ast.literal_eval(notes[SCOPES])[-2]  # the last is the operation, the one before it the layer
    return graph


def spare_pixels(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Let nothing but casts read an 8-bit input, which is all that TensorRT can do with one: shapes are the cast's."""
    inputs = {v.name for v in graph.graph.input if v.type.tensor_type.elem_type == onnx.TensorProto.UINT8}
    nodes = list(graph.graph.node)
    casts = {node.input[0]: node for node in nodes if node.op_type == "Cast" and node.input[0] in inputs}
    asking = [node for node in nodes if node.op_type == "Shape" and node.input[0] in casts]
    if asking:
        first = [casts[name] for name in dict.fromkeys(node.input[0] for node in asking)]
        del graph.graph.node[:]
        graph.graph.node.extend([*first, *(node for node in nodes if all(node is not cast for cast in first))])
        for node in graph.graph.node:
            if node.op_type == "Shape" and node.input[0] in casts:
                node.input[0] = casts[node.input[0]].output[0]
    return graph


def find_products(graph: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Return the products of activations with a weight, by node name in the graph's order.

    They are matrix products and convolutions, but for the one that embeds a vision transformer's patches.
    """
    ranks = {item.name: len(item.dims) for item in graph.graph.initializer}
    return {node.name: node for node in graph.graph.node if is_product(node) and ranks.get(node.input[1]) == rank(node)}


def is_product(node: onnx.NodeProto) -> bool:
    """Tell whether an operator is one that weights go into, and not the embedding of patches."""
    return node.op_type in WEIGHT_RANKS and not _embeds_patches(node)


def rank(node: onnx.NodeProto) -> int:
    """Return how many axes the weight of a product has."""
    return WEIGHT_RANKS[node.op_type]


def _embeds_patches(node: onnx.NodeProto) -> bool:
    """Tell whether a convolution cuts an image into patches: windows that neither overlap nor leave gaps."""
    lengths = {item.name: list(item.ints) for item in node.attribute}
    kernel = lengths.get("kernel_shape", [])
    return node.op_type == "Conv" and max(kernel, default=1) > 1 and lengths.get("strides") == kernel


def strip_build_notes(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Remove what the exporter notes about the building machine: stack traces with its paths, doc strings."""
    del graph.metadata_props[:]
    graph.doc_string = graph.graph.doc_string = ""
    del graph.graph.metadata_props[:]
    values = (*graph.graph.input, *graph.graph.output, *graph.graph.value_info, *graph.graph.initializer)
    for item in (*graph.graph.node, *values):
        del item.metadata_props[:]
        item.doc_string = ""
    return graph


def check_portable(graph: onnx.ModelProto) -> None:
    """Raise ExportError unless the graph is standard ONNX of the fixed opset with a dynamic batch."""
    opsets = {item.domain: item.version for item in graph.opset_import}
    domains = {node.domain for node in graph.graph.node} - {"", "ai.onnx"}
    if domains or opsets.get("") != OPSET or graph.ir_version != IR_VERSION:
        raise ExportError(
            f"graph is not portable: domains {sorted(domains)}, opset {opsets.get('')} (wanted {OPSET}), "
            f"IR {graph.ir_version} (wanted {IR_VERSION})"
        )
    for value in (*graph.graph.input, *graph.graph.output):
        if not value.type.tensor_type.shape.dim[0].dim_param:
            raise ExportError(f"graph has a fixed batch in {value.name}: export with a larger example")


def count_operators(graph: onnx.ModelProto) -> dict[str, int]:
    """Count the graph's nodes by operator type, in alphabetical order."""
    names = sorted(node.op_type for node in graph.graph.node)
    return {name: names.count(name) for name in dict.fromkeys(names)}


def _quiet_exporter() -> None:
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
