"""CheXzero, and OpenAI's CLIP of the same names: plain state dicts of a vision transformer and a causal text tower.

Every size is told by the tensors but the heads, which are a 64th of the widths as published, or what the file states.
Names and shapes of CheXzero and of OpenAI's ViT-B/32 are the same, and their preprocessing is not. So a file is
CheXzero's unless something of it looks like OpenAI's own: then who exports says which.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from alta_sdk.engine.manifest_content import AFTER_NORMALISATION
from alta_sdk.errors import CheckpointError
from alta_sdk.study.geometry import PAD_SQUARE, SHORTER_SIDE, Geometry

from .asking import Asking
from .checkpoint import PROFILE, Checkpoint
from .clip_cards import CHEXZERO_USE, CLIP_USE, LICENCE
from .clip_merges import make_clip_tokenizer
from .clip_model import ClipModel, ClipSizes, TransformerSizes, published_name
from .family import Family, Towers
from .inferred_sizes import count_layers, read_heads
from .pixel_scaling import PixelScaling, make_bicubic_matrix
from .strict import load_strictly, tell_size
from .tower_sizes import choose_heads, find_image_heads, tell_grid, tell_own_size

PATCHES, TEXT_TOP = "visual.conv1.weight", "transformer.resblocks."
IMAGE_TOP = "visual.transformer.resblocks."
PREPROCESSING, CHEXZERO_WORD, OPENAI_WORD = "preprocessing", "chexzero", "openai"
PADDED_PX = 320
GREY_MEAN, GREY_STD = 101.48761, 83.43944  # of CheXzero, in grey values 0…255
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # in values 0…1
PUBLISHED_PATCH_PX = 32  # of every published CheXzero
# OpenAI's training held exp(logit_scale) at 100 at most, where it ended; half precision rounds it by 3e-4.
CLAMPED, CLOSE = math.log(100), 5e-4

ASKING = Asking(
    prompt_pair=("{}", "no {}"),
    logit_scale_note=(
        "1, as published: the score leaves the scale that the checkpoint stores aside, so scores near 0.5 are usual; "
        "calibrate a threshold on your own studies"
    ),
)
CLIP_ASKING = Asking(prompt_pair=ASKING.prompt_pair)  # OpenAI's own score has the learned scale
OPTIONS = ("tokenizer", "text_heads", "preprocessing")

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Preprocessing:
    """How pixels come to the tower, and whether its cosines are multiplied with the learned scale, by kind of file."""

    family: str
    geometry: Geometry
    scaling: PixelScaling
    intensity_profile: str
    has_logit_scale: bool


def infer_clip_sizes(checkpoint: Checkpoint, image_heads: int | None = None) -> ClipSizes:
    """Read every size from the tensors; heads from who exports, the file's own word, or a 64th of the width.

    Raises CheckpointError if a tensor that tells a size is missing, or heads cannot be told.
    """
    weights, stated = checkpoint.weights, checkpoint.metadata
    if "visual.layer1.0.conv1.weight" in weights or "visual.attnpool.c_proj.weight" in weights:
        raise CheckpointError(
            "checkpoint is a CLIP with a ResNet: the vision transformers alone are read (ViT-B/32, B/16)"
        )
    return ClipSizes(
        image=_transformer_sizes(weights, IMAGE_TOP, "image", find_image_heads(stated, image_heads)),
        text=_transformer_sizes(weights, TEXT_TOP, "text", read_heads(stated, "text_heads")),
        grid=tell_grid(weights, "visual.positional_embedding", 0),
        patch_px=tell_own_size(weights, PATCHES, 2),
        context=tell_own_size(weights, "positional_embedding", 0),
        vocabulary=tell_own_size(weights, "token_embedding.weight", 0),
        embedding=tell_size(weights, ("visual.proj", 1), ("text_projection", 1)),
    )


def _transformer_sizes(weights: Weights, top: str, tower: str, told: int | None) -> TransformerSizes:
    block = f"{top}0."
    norms = (f"{block}ln_1.weight", f"{block}ln_1.bias", f"{block}ln_2.weight", f"{block}ln_2.bias")
    width = tell_size(weights, *((name, 0) for name in norms))
    mlp_width = tell_size(weights, (f"{block}mlp.c_fc.bias", 0), (f"{block}mlp.c_fc.weight", 0))
    return TransformerSizes(
        width=width,
        depth=count_layers(weights, top.removesuffix(".")),
        heads=choose_heads(width, told, tower),
        mlp_width=mlp_width,
    )


def choose_preprocessing(checkpoint: Checkpoint, sizes: ClipSizes) -> Preprocessing:
    """Return how the pixels of a file's tower are made.

    Raises CheckpointError if the file looks like OpenAI's own and nobody says which it is.
    """
    word = checkpoint.metadata.get(PREPROCESSING)
    if word is None and (hint := _hint_at_openai(checkpoint, sizes)):
        raise CheckpointError(
            f"checkpoint has the names of CheXzero and of OpenAI's CLIP, which read other pixels, and {hint}: say "
            f"which with --{PREPROCESSING} {CHEXZERO_WORD} or --{PREPROCESSING} {OPENAI_WORD}"
        )
    if word not in (None, CHEXZERO_WORD, OPENAI_WORD):
        raise CheckpointError(f"checkpoint states an unknown {PREPROCESSING}; known: {CHEXZERO_WORD}, {OPENAI_WORD}")
    px = sizes.grid * sizes.patch_px
    if word == OPENAI_WORD:
        geometry = Geometry(SHORTER_SIDE, px, px, "bicubic", grey_first=False)
        scaling = PixelScaling([255 * value for value in CLIP_MEAN], [255 * value for value in CLIP_STD])
        return Preprocessing("openai-clip", geometry, scaling, "voi-v1", has_logit_scale=True)
    geometry = Geometry(PAD_SQUARE, PADDED_PX, PADDED_PX, "lanczos", grey_first=False)
    scaling = PixelScaling([GREY_MEAN] * 3, [GREY_STD] * 3, make_bicubic_matrix(PADDED_PX, px))
    # The published score leaves the stored scale aside. It was trained on MIMIC-CXR-JPG.
    return Preprocessing("chexzero", geometry, scaling, "mimic-jpg-v1", has_logit_scale=False)


def _hint_at_openai(checkpoint: Checkpoint, sizes: ClipSizes) -> str:
    """Say what of a file looks like OpenAI's own; an empty text if nothing does."""
    if PATCHES in checkpoint.weights and sizes.patch_px != PUBLISHED_PATCH_PX:
        return f"patches of {sizes.patch_px} pixels, where every published CheXzero has {PUBLISHED_PATCH_PX}"
    if "float16" in checkpoint.formats:
        return "tensors in half precision, in which OpenAI's are published"
    scale = checkpoint.weights.get("logit_scale")
    if scale is not None and scale.numel() == 1 and abs(float(scale) - CLAMPED) < CLOSE:
        return "a logit scale of 100, at which OpenAI's training held it"
    return ""


def _read(checkpoint: Checkpoint, text_folder: Path | None, tokenizer: Path | None, image_heads: int | None) -> Towers:
    """Read both towers; text_folder: where the merges file is looked for if it is not given, the checkpoint's own."""
    sizes = infer_clip_sizes(checkpoint, image_heads)
    how = choose_preprocessing(checkpoint, sizes)
    model = load_strictly(
        lambda: ClipModel(sizes, how.scaling),
        checkpoint.weights,
        published_name,
        "checkpoint is not a CLIP with a vision transformer, or not a whole one",
    )
    return Towers(
        family=how.family,
        image=model.visual,
        text=model.text,
        sizes=describe_sizes(sizes, how.geometry.crop_px),
        geometry=how.geometry,
        intensity_profile=checkpoint.metadata.get(PROFILE, how.intensity_profile),
        tokenizer_json=make_clip_tokenizer(tokenizer, text_folder, sizes.vocabulary, sizes.context),
        prompt_average=AFTER_NORMALISATION,
        logit_scale=math.exp(model.logit_scale.item()) if how.has_logit_scale else 1.0,
        fusion_modes=("frontal", "present"),
        default_fusion_mode="frontal",
        provenance={"checkpoint_sha256": checkpoint.sha256},
    )


def describe_sizes(sizes: ClipSizes, read_px: int) -> dict[str, int]:
    """Return the sizes that a reader of a manifest may want; read_px: the side of what the engine takes."""
    return {
        "image_width": sizes.image.width,
        "image_depth": sizes.image.depth,
        "image_heads": sizes.image.heads,
        "image_px": read_px,
        "patch_px": sizes.patch_px,
        "text_width": sizes.text.width,
        "text_depth": sizes.text.depth,
        "text_heads": sizes.text.heads,
        "vocabulary": sizes.vocabulary,
        "max_tokens": sizes.context,
        "embedding": sizes.embedding,
    }


def _is_clip(names: frozenset[str]) -> bool:
    return sum((PATCHES in names, *(any(n.startswith(top) for n in names) for top in (IMAGE_TOP, TEXT_TOP)))) >= 2


CHEXZERO = Family(
    name="chexzero",
    title="CheXzero",
    licence=LICENCE,
    intended_use=CHEXZERO_USE,
    method="CheXzero (Tiu et al., Nature Biomedical Engineering 2022), as published",
    source_line="computes what the published code of CheXzero (MIT) computes",
    looks_for=(PATCHES, f"{IMAGE_TOP}*", f"{TEXT_TOP}*"),
    recognises=_is_clip,
    read=_read,
    asking=ASKING,
    holds_text=True,
    more_options=OPTIONS,
)
# Read by the same reader, since its names are the same: never recognised by them, but told by who exports.
OPENAI_CLIP = Family(
    name="openai-clip",
    title="OpenAI's CLIP",
    licence=LICENCE,
    intended_use=CLIP_USE,
    method="CLIP (Radford et al., ICML 2021), as published",
    source_line="computes what openai/CLIP (MIT) computes",
    looks_for=CHEXZERO.looks_for,
    recognises=lambda names: False,
    read=_read,
    asking=CLIP_ASKING,
    holds_text=True,
    more_options=OPTIONS,
)
