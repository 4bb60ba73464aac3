"""Names and sizes of a DINOv2-style tower: one naming from those that files have, and what does not fit refused.

Files follow Meta's names (timm has the same) or Hugging Face's, with or without a prefix. What goes on is
Meta's naming, which an MRM checkpoint's is, too, but for LayerScale (`ls1.gamma`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, cat

from alta_sdk.errors import CheckpointError
from alta_sdk.study.geometry import ALTA_GEOMETRY

from .inferred_sizes import count_layers

# A file's tower is where its patch embedding is; what stands before these names is the prefix.
META_KERNEL = "patch_embed.proj.weight"
HUGGING_FACE_KERNEL = "embeddings.patch_embeddings.projection.weight"
HUGGING_FACE = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^layernorm\.", "norm."),
    (r"^encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.(?:attention\.query|q_proj)\.", ".attn.q."),
    (r"\.attention\.(?:attention\.key|k_proj)\.", ".attn.k."),
    (r"\.attention\.(?:attention\.value|v_proj)\.", ".attn.v."),
    (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
)
STEM = ("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", "norm.weight", "norm.bias")
LAYER_SCALES = ("ls1.gamma", "ls2.gamma")
REGISTERS = ("register_tokens", "reg_token")
GATED = re.compile(r"\.mlp\.(w12|w1|weights_in|fc1_g)\.")
SHOWN = 4


@dataclass(frozen=True)
class TowerSizes:
    """Sizes of a source's tower; side: of its square grid of positions, in patches."""

    width: int
    depth: int
    mlp_width: int
    patch_px: int
    side: int


def find_prefix(names: Mapping[str, object]) -> tuple[str, bool]:
    """Return what stands before a tower's names, and whether they are Hugging Face's.

    Raises CheckpointError unless exactly one tower is there.
    """
    found = [
        (name.removesuffix(kernel), kernel is HUGGING_FACE_KERNEL)
        for name in names
        for kernel in (META_KERNEL, HUGGING_FACE_KERNEL)
        if name == kernel or name.endswith(f".{kernel}")
    ]
    if not found:
        raise CheckpointError(f"source holds no DINOv2-style ViT: no tensor is named {META_KERNEL} or as Dinov2Model's")
    if len(found) > 1:
        prefixes = ", ".join(sorted(prefix or "(none)" for prefix, _ in found)[:SHOWN])
        raise CheckpointError(f"source holds {len(found)} towers, under {prefixes}: give a file with one")
    return found[0]


def name_tensors(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give a tower's tensors Meta's names, with query, key and value as one product; what is not the tower's stays out.

    Raises CheckpointError for registers and gated MLPs, which the image tower has no place for.
    """
    prefix, is_hugging_face = find_prefix(given)
    tensors = {name.removeprefix(prefix): tensor for name, tensor in given.items() if name.startswith(prefix)}
    _refuse_other_kinds(tensors)
    if is_hugging_face:
        tensors = {_to_meta(name): tensor for name, tensor in tensors.items()}
        for name in [name for name in tensors if ".attn.q." in name]:
            parts = [tensors.get(name.replace(".attn.q.", f".attn.{part}.")) for part in "qkv"]
            present = [part for part in parts if part is not None]
            if len(present) == len(parts):
                tensors[name.replace(".attn.q.", ".attn.qkv.")] = cat(present)
        tensors = {name: tensor for name, tensor in tensors.items() if not re.search(r"\.attn\.[qkv]\.", name)}
    return {name: tensor for name, tensor in tensors.items() if name in STEM or name.startswith("blocks.")}


def read_sizes(tensors: Mapping[str, Tensor]) -> TowerSizes:
    """Read a tower's sizes from its tensors, in Meta's names.

    Raises CheckpointError if a tensor is missing, has no place in the image tower or is of another shape.
    """
    depth = count_layers(tensors, "blocks") if any(name.startswith("blocks.") for name in tensors) else 0
    if not depth:
        raise CheckpointError("source holds no DINOv2-style ViT: it has no blocks")
    scales = LAYER_SCALES if any(name.endswith(LAYER_SCALES) for name in tensors) else ()
    expected = {*STEM, *(f"blocks.{number}.{name}" for number in range(depth) for name in (*_block_shapes(), *scales))}
    for kind, names in (("lacks", expected - set(tensors)), ("has no place for", set(tensors) - expected)):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            shown = ", ".join(sorted(names)[:SHOWN]) + more
            whose = "source" if kind == "lacks" else "the image tower"
            raise CheckpointError(f"{whose} {kind} {shown}: only whole, plain DINOv2-style ViTs can be taken")
    kernel, positions = tensors["patch_embed.proj.weight"], tensors["pos_embed"]
    if kernel.ndim != 4 or positions.ndim != 3:
        raise CheckpointError("source's patch_embed.proj.weight or pos_embed is not a ViT's: sizes do not fit")
    width, patch_px = int(kernel.shape[0]), int(kernel.shape[2])
    side = round(max(positions.shape[1] - 1, 0) ** 0.5)
    sizes = TowerSizes(width, depth, int(tensors["blocks.0.mlp.fc1.bias"].numel()), patch_px, side)
    _check_shapes(tensors, sizes)
    if width % 4:
        raise CheckpointError(f"source's width {width} is not a multiple of 4: the image tower cannot have it")
    if ALTA_GEOMETRY.crop_px % patch_px:
        raise CheckpointError(
            f"source's patches of {patch_px} pixels do not divide {ALTA_GEOMETRY.crop_px}: it cannot be taken"
        )
    return sizes


def _check_shapes(tensors: Mapping[str, Tensor], sizes: TowerSizes) -> None:
    width = sizes.width
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + sizes.side**2, width),
        "patch_embed.proj.weight": (width, 3, sizes.patch_px, sizes.patch_px),
        **dict.fromkeys(("patch_embed.proj.bias", "norm.weight", "norm.bias"), (width,)),
    }
    in_block = {**_block_shapes(width, sizes.mlp_width), **dict.fromkeys(LAYER_SCALES, (width,))}
    for name, tensor in sorted(tensors.items()):
        fitting = shapes.get(name) or in_block[name.split(".", 2)[2]]
        if tuple(tensor.shape) != fitting:
            raise CheckpointError(f"source's {name} is {_spell(tensor.shape)}, not {_spell(fitting)}: sizes do not fit")


def _block_shapes(width: int = 0, mlp_width: int = 0) -> dict[str, tuple[int, ...]]:
    products = {
        "attn.qkv": (3 * width, width),
        "attn.proj": (width, width),
        "mlp.fc1": (mlp_width, width),
        "mlp.fc2": (width, mlp_width),
    }
    shapes: dict[str, tuple[int, ...]] = {
        f"{norm}.{kind}": (width,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")
    }
    for name, shape in products.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]
    return shapes


def _to_meta(name: str) -> str:
    for pattern, replacement in HUGGING_FACE:
        name = re.sub(pattern, replacement, name)
    return name


def _refuse_other_kinds(names: Mapping[str, object]) -> None:
    for name in names:
        if name.endswith(REGISTERS):
            raise CheckpointError("source has register tokens: the image tower has no place for them; give one without")
        if GATED.search(name):
            raise CheckpointError(
                "source has gated (SwiGLU) MLPs: the image tower's are plain GELU; give one with such"
            )


def _spell(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
