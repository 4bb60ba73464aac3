"""BiomedCLIP, and other models in the layout of open_clip: timm's vision transformer and a BERT.

The published folder holds open_clip_config.json, the weights, and tokenizer.json or vocab.txt. The tensors tell every
size but the heads: a 64th of the widths, or what a BERT config.json in the folder and who exports say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig

from alta_sdk.engine.manifest_content import AFTER_NORMALISATION
from alta_sdk.errors import CheckpointError
from alta_sdk.study.geometry import SHORTER_SIDE, Geometry

from ..model import torchvision_ops  # noqa: F401  timm imports torchvision
from .bert_tower import BertTower, describe_bert
from .checkpoint import PROFILE, Checkpoint
from .family import Family, Towers
from .inferred_sizes import count_layers, read_heads
from .open_clip_folder import CONFIG, OpenClipFolder, read_open_clip_folder
from .pixel_scaling import PixelScaling
from .strict import load_strictly, tell_size
from .tower_sizes import choose_heads, find_image_heads, tell_grid, tell_own_size

from timm.models.vision_transformer import VisionTransformer  # isort: skip

NORM_EPS = 1e-6  # of timm's vision transformers
TRUNK, TEXT = "visual.trunk.", "text.transformer."
IGNORED = frozenset({f"{TEXT}embeddings.position_ids"})  # 0, 1, 2, …; older transformers stored it

ARITHMETIC = {"hidden_act": "gelu", "position_embedding_type": "absolute", "layer_norm_eps": 1e-12}  # of PubMedBERT
INTENSITY_PROFILE = "voi-v1"  # it was trained on figures of papers, which show what a viewer shows
# Its model card's section "Model Use", word for word, without headings and links.
INTENDED_USE = (
    "This model is intended to be used solely for (I) future research on visual-language processing and (II) "
    "reproducibility of the experimental results reported in the reference paper. The primary intended use is to "
    "support AI researchers building on top of this work. BiomedCLIP and its associated models should be helpful for "
    "exploring various biomedical VLP research questions, especially in the radiology domain. Any deployed use case "
    "of the model --- commercial or otherwise --- is currently out of scope. Although we evaluated the models using a "
    "broad set of publicly-available research benchmarks, the models and evaluations are not intended for deployed "
    "use cases."
)

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class TrunkSizes:
    """Sizes of the image tower; image_px, patch_px: sides in pixels."""

    width: int
    depth: int
    heads: int
    mlp_width: int
    image_px: int
    patch_px: int
    embedding: int


class OpenClipImage(nn.Module):
    """timm's vision transformer on grey pixels; the class token, after the norm, is projected without a bias."""

    def __init__(self, sizes: TrunkSizes, scaling: PixelScaling) -> None:
        """Make a tower with fresh weights (a checkpoint replaces them)."""
        super().__init__()
        self.sizes = sizes
        self.scaling = scaling
        self.trunk = VisionTransformer(
            sizes.image_px,
            sizes.patch_px,
            num_classes=0,
            embed_dim=sizes.width,
            depth=sizes.depth,
            num_heads=sizes.heads,
            mlp_ratio=(sizes.mlp_width + 0.5) / sizes.width,  # timm rounds the product down
            norm_layer=partial(nn.LayerNorm, eps=NORM_EPS),
            weight_init="skip",
        )
        self.head = nn.ModuleDict({"proj": nn.Linear(sizes.width, sizes.embedding, bias=False)})

    def static(self, grey_u8: Tensor) -> Tensor:
        """Return the class token (n, width) after the norm, of radiographs (n, 1, px, px) uint8."""
        token: Tensor = self.trunk.forward_features(self.scaling(grey_u8))[:, 0]
        return token

    def project(self, token: Tensor) -> Tensor:
        """Return the projections (n, embedding) of class tokens, not of unit length."""
        projection: Tensor = self.head["proj"](token)
        return projection

    def forward(self, grey_u8: Tensor) -> Tensor:
        """Return the projections (n, embedding) of radiographs (n, 1, px, px) uint8."""
        return self.project(self.static(grey_u8))


class OpenClipModel(nn.Module):
    """Both towers and the learned temperature."""

    def __init__(self, sizes: TrunkSizes, scaling: PixelScaling, config: BertConfig, hidden: int) -> None:
        """Make a model with fresh weights; hidden: between the two products of the text tower's head."""
        super().__init__()
        self.visual = OpenClipImage(sizes, scaling)
        head = nn.Sequential(
            nn.Linear(config.hidden_size, hidden, bias=False),
            nn.GELU(),
            nn.Linear(hidden, sizes.embedding, bias=False),
        )
        self.text = BertTower(config, head)
        self.logit_scale = nn.Parameter(torch.zeros(()))


def published_name(name: str) -> str:
    """Return the published name of one of our parameters."""
    for own, published in (("text.bert.", TEXT), ("text.head.", "text.proj.")):
        if name.startswith(own):
            return published + name.removeprefix(own)
    return name


def infer_trunk_sizes(weights: Weights, stated_heads: int | None) -> TrunkSizes:
    """Read the image tower's sizes from its tensors; heads as stated, or a 64th of the width.

    Raises CheckpointError if a tensor that tells a size is missing, or heads cannot be told.
    """
    block = f"{TRUNK}blocks.0."
    width = tell_size(
        weights, *((f"{TRUNK}{name}", 0) for name in ("norm.weight", "norm.bias", "patch_embed.proj.bias"))
    )
    heads = choose_heads(width, stated_heads, "image")
    patch_px = tell_own_size(weights, f"{TRUNK}patch_embed.proj.weight", 2)
    return TrunkSizes(
        width=width,
        depth=count_layers(weights, f"{TRUNK}blocks"),
        heads=heads,
        mlp_width=tell_size(weights, (f"{block}mlp.fc1.bias", 0), (f"{block}mlp.fc1.weight", 0)),
        image_px=tell_grid(weights, f"{TRUNK}pos_embed", 1) * patch_px,
        patch_px=patch_px,
        embedding=tell_size(weights, ("visual.head.proj.weight", 0), ("text.proj.2.weight", 0)),
    )


def infer_bert_config(weights: Weights, stated: Mapping[str, Any], stated_heads: int | None) -> BertConfig:
    """Read BERT's sizes from its tensors.

    stated: the folder's config.json, empty without one; only its heads are taken, and what it says of the arithmetic
    is checked. Raises CheckpointError as `infer_trunk_sizes` does, and for another arithmetic.
    """
    different = [name for name, value in ARITHMETIC.items() if stated.get(name, value) != value]
    if different:
        raise CheckpointError(f"config.json in the folder says another {', '.join(different)} than PubMedBERT has")
    layer, embeddings = f"{TEXT}encoder.layer.0.", f"{TEXT}embeddings."
    norms = (f"{embeddings}LayerNorm.weight", f"{embeddings}LayerNorm.bias")
    width = tell_size(weights, *((name, 0) for name in norms))
    heads = stated_heads or stated.get("num_attention_heads")
    if heads is not None and (type(heads) is not int or not 1 <= heads <= width):
        raise CheckpointError("config.json in the folder: num_attention_heads is not a number of heads")
    return BertConfig(
        vocab_size=tell_own_size(weights, f"{embeddings}word_embeddings.weight", 0),
        hidden_size=width,
        num_hidden_layers=count_layers(weights, f"{TEXT}encoder.layer"),
        num_attention_heads=choose_heads(width, heads, "text"),
        intermediate_size=tell_size(
            weights, (f"{layer}intermediate.dense.bias", 0), (f"{layer}intermediate.dense.weight", 0)
        ),
        max_position_embeddings=tell_own_size(weights, f"{embeddings}position_embeddings.weight", 0),
        type_vocab_size=tell_own_size(weights, f"{embeddings}token_type_embeddings.weight", 0),
    )


def _read(checkpoint: Checkpoint, text_folder: Path | None, tokenizer: Path | None, image_heads: int | None) -> Towers:
    """Read both towers; text_folder: the published folder, with its config and tokenizer."""
    if text_folder is None:
        raise CheckpointError(f"a model of open_clip needs its folder, with {CONFIG}: give it as --text-model")
    if tokenizer is not None:
        raise CheckpointError("a model of open_clip reads the tokenizer of its folder: leave --tokenizer out")
    folder = read_open_clip_folder(text_folder)
    weights = {name: tensor for name, tensor in checkpoint.weights.items() if name not in IGNORED}
    sizes = infer_trunk_sizes(weights, find_image_heads(checkpoint.metadata, image_heads))
    config = infer_bert_config(weights, folder.bert, read_heads(checkpoint.metadata, "text_heads"))
    hidden = tell_size(weights, ("text.proj.0.weight", 0), ("text.proj.2.weight", 1))
    scaling = PixelScaling([255 * value for value in folder.mean], [255 * value for value in folder.std])
    model = load_strictly(
        lambda: OpenClipModel(sizes, scaling, config, hidden),
        weights,
        published_name,
        "checkpoint is not of open_clip with timm's vision transformer and a BERT, or not a whole one",
    )
    check_fit(folder, sizes, config)
    return Towers(
        family=OPEN_CLIP.name,
        image=model.visual,
        text=model.text,
        sizes=describe_sizes(sizes, config, folder.context),
        geometry=Geometry(SHORTER_SIDE, sizes.image_px, sizes.image_px, "bicubic", grey_first=False),
        intensity_profile=checkpoint.metadata.get(PROFILE, INTENSITY_PROFILE),
        tokenizer_json=folder.tokenizer_json,
        prompt_average=AFTER_NORMALISATION,
        logit_scale=model.logit_scale.exp().item(),
        fusion_modes=("frontal", "present"),
        default_fusion_mode="frontal",
        provenance={"checkpoint_sha256": checkpoint.sha256},
    )


def check_fit(folder: OpenClipFolder, sizes: TrunkSizes, config: BertConfig) -> None:
    """Raise CheckpointError if a folder is not the one that the tensors were published in."""
    if folder.embedding != sizes.embedding:
        raise CheckpointError(f"{CONFIG} says embed_dim {folder.embedding}, the tensors project to {sizes.embedding}")
    if folder.context > config.max_position_embeddings:
        raise CheckpointError(
            f"{CONFIG} says context_length {folder.context}, the tensors have {config.max_position_embeddings} places"
        )
    if folder.last_token >= config.vocab_size:
        raise CheckpointError(f"folder {folder.name}: its tokenizer has more tokens than the weights have embeddings")


def describe_sizes(sizes: TrunkSizes, config: BertConfig, context: int) -> dict[str, int]:
    """Return the sizes that a reader of a manifest may want."""
    return {
        "image_width": sizes.width,
        "image_depth": sizes.depth,
        "image_heads": sizes.heads,
        "image_px": sizes.image_px,
        "patch_px": sizes.patch_px,
        **describe_bert(config),
        "max_tokens": context,
        "embedding": sizes.embedding,
    }


def _is_open_clip(names: frozenset[str]) -> bool:
    return any(name.startswith((TRUNK, TEXT)) for name in names)


OPEN_CLIP = Family(
    name="open-clip",
    title="BiomedCLIP",
    licence="MIT",
    intended_use=INTENDED_USE,
    method="BiomedCLIP (Zhang et al., NEJM AI 2024), as published",
    source_line="computes what open_clip (MIT) computes",
    looks_for=(f"{TRUNK}*", f"{TEXT}*"),
    recognises=_is_open_clip,
    read=_read,
    holds_text=True,
    more_options=("text_heads",),
)
