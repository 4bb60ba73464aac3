"""A DINOv2-style tower in an ONNX graph: its tensors, found by how nodes use them, its heads, and the graph run.

An export keeps the names of biases, norms and kernels, but a product's weight is transposed and gets a name
like `onnx::MatMul_1966`: it is found by the bias that is added next.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alta_runtimes.onnxruntime_session import open_session
from alta_sdk.errors import AltaError, CheckpointError
from alta_sdk.study.geometry import ALTA_GEOMETRY

from .dinov2_graph import Graph, list_products
from .dinov2_names import HUGGING_FACE_KERNEL, META_KERNEL, find_prefix, name_tensors

STEM_NAMES = (
    ("cls_token", "pos_embed", META_KERNEL),
    ("embeddings.cls_token", "embeddings.position_embeddings", HUGGING_FACE_KERNEL),
)
MASK_TOKEN = "mask_token"
QUERIES = (".attn.qkv.bias", ".attention.attention.query.bias", ".attention.q_proj.bias")
FLOAT32 = 1  # TensorProto.FLOAT
PASSED = ("Identity", "Cast", "Dropout")


def read_graph_tensors(graph: Graph) -> tuple[dict[str, Tensor], int | None]:
    """Return the tower's tensors in Meta's names, float32, and its heads (None if no reshape tells them).

    Raises CheckpointError if the graph holds no such tower or a value that is not finite.
    """
    prefix, is_hugging_face = find_prefix(graph.given)
    arrays = {name: value for name, value in graph.given.items() if name.startswith(prefix)}
    arrays.update(_find_products(graph))
    cls, positions, kernel = (prefix + name for name in STEM_NAMES[is_hugging_face])
    arrays[cls], arrays[positions] = _find_embeddings(graph, cls, positions, graph.given[kernel].shape[0])
    floats = {name: value for name, value in arrays.items() if value.dtype.kind == "f"}
    tensors = name_tensors({name: torch.from_numpy(value.astype(np.float32)) for name, value in floats.items()})
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"source's {name} holds values that are not finite")
    return tensors, _find_heads(graph)


@torch.inference_mode()
def run_graph(graph: Graph, pixels: Tensor, depth: int, heads: int) -> Tensor:
    """Run the source's own graph up to the end of block `depth`, one radiograph at a time.

    pixels: (n, 3, px, px), scaled by the source's statistics. heads: the graph has its own.
    Returns tokens (n, 1 + patches, width) float64. Raises CheckpointError if the graph cannot be run so.
    """
    import onnx

    constants = {tensor.name for tensor in graph.model.graph.initializer}
    inputs = [item for item in graph.model.graph.input if item.name not in constants]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != FLOAT32:
        raise CheckpointError("source's graph does not take one float32 image: it cannot be checked")
    sides = [axis.dim_value for axis in inputs[0].type.tensor_type.shape.dim][2:]
    px = ALTA_GEOMETRY.crop_px
    if any(side not in (0, px) for side in sides):
        raise CheckpointError(
            f"source's graph takes {sides[0]} pixels a side only: export it for {px} or any, or give safetensors"
        )
    cut = onnx.ModelProto()
    cut.CopyFrom(graph.model)
    del cut.graph.output[:]  # onnxruntime leaves out what no output needs
    name = _find_block_end(graph, depth)
    cut.graph.output.append(onnx.helper.make_tensor_value_info(name, FLOAT32, None))
    try:
        threads = torch.get_num_threads()
        session = open_session(cut.SerializeToString(), name="graph", device="cpu", threads=threads, compute="f32")
    except AltaError as error:
        raise CheckpointError("source's graph is not accepted by onnxruntime: it cannot be checked") from error
    try:
        tokens = [session.run({inputs[0].name: image[None].float().numpy()})[name] for image in pixels]
    except Exception as error:  # onnxruntime's exceptions share no class but Exception
        raise CheckpointError(f"source's graph does not run on {px} pixels: it cannot be checked") from error
    return torch.from_numpy(np.concatenate(tokens)).double()


def _find_products(graph: Graph) -> dict[str, NDArray[Any]]:
    """Return the weights of products, (out, in), named after the bias that is added to them."""
    weights = {}
    for node, bias in list_products(graph):
        if node.op_type == "MatMul":
            weight = graph.given[node.input[1]].T
        else:
            transposed = any(item.name == "transB" and item.i for item in node.attribute)
            weight = graph.given[node.input[1]] if transposed else graph.given[node.input[1]].T
        weights[bias.removesuffix("bias") + "weight"] = weight
    return weights


def _find_embeddings(graph: Graph, cls_name: str, positions_name: str, width: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the CLS token (1, 1, width) and the position embedding (1, 1 + patches, width), named or not.

    An exporter cuts the position embedding in two and computes what it can: names and shapes get lost.
    """
    rows = {
        name: flat
        for name, value in graph.given.items()
        if MASK_TOKEN not in name and (flat := _list_positions(value, width)) is not None
    }
    cls = rows.get(cls_name)
    single = [value for name, value in rows.items() if value.shape[1] == 1 and name != cls_name]
    if cls is not None:
        single = [value for value in single if not np.array_equal(value, cls)] or single
    whole = [value for value in rows.values() if value.shape[1] > 1 and _is_square(value.shape[1] - 1)]
    patches = [value for value in rows.values() if value.shape[1] > 1 and _is_square(value.shape[1])]
    if positions_name in rows:
        whole = [rows[positions_name]]
    if len(whole) == 1 and (cls is not None or len(single) == 1):
        return single[0] if cls is None else cls, whole[0]
    if len(patches) == 1 and cls is not None and len(single) == 1:
        return cls, np.concatenate([single[0], patches[0]], axis=1)
    if len(patches) == 1 and cls is None and len(single) in (1, 2):  # only the sum of the two counts
        return np.sum(single, axis=0), np.concatenate([np.zeros_like(single[0]), patches[0]], axis=1)
    raise CheckpointError("source's CLS token and positions cannot be told in its graph: give its safetensors")


def _list_positions(value: NDArray[Any], width: int) -> NDArray[Any] | None:
    """Return a constant as positions (1, positions, width), from a grid, too, channels first or last; else nothing."""
    if value.ndim not in (3, 4) or value.shape[0] != 1:
        return None
    if value.ndim == 4 and value.shape[1] == width and value.shape[2] == value.shape[3]:
        value = value.transpose(0, 2, 3, 1)
    return value.reshape(1, -1, width) if value.shape[-1] == width else None


def _find_heads(graph: Graph) -> int | None:
    """Return the heads by the first reshape of queries to (…, heads, head size), if its numbers are constants."""
    for node, bias in list_products(graph):
        if not bias.endswith(QUERIES):
            continue
        width = graph.given[node.input[1]].shape[0]
        end = node if node.op_type == "Gemm" else graph.after[node.output[0]][0]
        for reshape in graph.after.get(end.output[0], []):
            if reshape.op_type == "Reshape":
                heads, size = _read_last_two(graph, reshape.input[1])
                if heads == -1 and size > 0:  # the other one is left to the reshape
                    heads = width // size
                if heads > 0 and (size == -1 or heads * size == width):
                    return heads
    return None


def _read_last_two(graph: Graph, name: str) -> tuple[int, int]:
    if name in graph.given:
        numbers = [int(value) for value in graph.given[name].ravel()]
    else:
        makers = [node for node in graph.model.graph.node if name in node.output and node.op_type == "Concat"]
        parts = [graph.given.get(part) for maker in makers for part in maker.input]
        numbers = [0 if part is None or part.size != 1 else int(part.ravel()[0]) for part in parts]
    return (numbers[-2], numbers[-1]) if len(numbers) > 1 else (0, 0)


def _find_block_end(graph: Graph, depth: int) -> str:
    """Return the value after block `depth`: where its MLP's product, biased and scaled, meets the residual stream."""
    prefix, is_hugging_face = find_prefix(graph.given)
    block = f"{prefix}{'encoder.layer' if is_hugging_face else 'blocks'}.{depth - 1}."
    ends = [node.output[0] for node, bias in list_products(graph) if bias == f"{block}mlp.fc2.bias"]
    value = ends[0] if len(ends) == 1 else ""
    while value:
        readers = graph.after.get(value, [])
        if len(readers) != 1:
            break
        node = readers[0]
        constant = any(name in graph.given for name in node.input)
        value = node.output[0]
        if node.op_type == "Add" and not constant:
            return value
        if not (node.op_type in PASSED or (node.op_type in ("Add", "Mul") and constant)):
            break
    raise CheckpointError(f"the end of block {depth} cannot be told in the source's graph: give its safetensors")


def _is_square(number: int) -> bool:
    return round(number**0.5) ** 2 == number
