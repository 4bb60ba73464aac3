"""BioViL-T and BioViL: image models of hi-ml-multimodal, with CXR-BERT as their text model.

The image file is a plain pickled state_dict; the text model is a folder of its own. All widths are told by the
tensors; the numbers of layers and heads, and the positions, are the published ones.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from alta_sdk.engine.label_sets import Label
from alta_sdk.engine.manifest_content import PHRASE, STRIP_FINAL_PUNCTUATION
from alta_sdk.errors import CheckpointError
from alta_sdk.matching.progression import build_progression_set
from alta_sdk.matching.prompts import PROGRESSION
from alta_sdk.study.geometry import SHORTER_SIDE, Geometry

from .asking import Asking
from .bert_tower import describe_bert
from .biovil_cards import BIOVIL_T_USE, BIOVIL_USE, LICENCE
from .biovil_image import BiovilImage, BiovilTImage, Projector, published_name
from .biovil_temporal import DEPTH, HEADS, TemporalBlock
from .checkpoint import PROFILE, Checkpoint
from .cxr_bert import read_cxr_bert
from .family import Family, Towers
from .resnet import DEPTHS, REDUCTION_PX, ResNet50
from .strict import load_strictly, tell_size

TRUNK, TEMPORAL = "encoder.encoder.", "encoder.vit_pooler."
OF_TEMPORAL = (TEMPORAL, "encoder.backbone_to_vit.", "encoder.missing_previous_emb")
CLASSIFIER = f"{TRUNK}fc."  # torchvision's, stored and never used
INTENSITY_PROFILE = "minmax-v1"
RESIZE_PX, BIOVIL_T_PX, BIOVIL_PX = 512, 448, 480
SOURCE = "computes what hi-ml-multimodal of microsoft/hi-ml (MIT) computes"

# The prompts of the published zero-shot classification of pneumonia, four a side (hi-ml-multimodal).
PNEUMONIA = Label(
    positive=(
        "Findings consistent with pneumonia",
        "Findings suggesting pneumonia",
        "This opacity can represent pneumonia",
        "Findings are most compatible with pneumonia",
    ),
    negative=(
        "There is no pneumonia",
        "No evidence of pneumonia",
        "No evidence of acute pneumonia",
        "No signs of pneumonia",
    ),
)
ASKING = Asking(
    logit_scale_note=(
        "1, as published: the checkpoint stores none, so scores near 0.5 are usual; calibrate a threshold on your own "
        "studies"
    ),
    more_sets={"rsna-ensemble": {"pneumonia": PNEUMONIA}},
)
BIOVIL_T_ASKING = replace(ASKING, more_sets={**ASKING.more_sets, PROGRESSION: build_progression_set()})

Weights = Mapping[str, Tensor]


def read_biovil_t_image(weights: Weights) -> BiovilTImage:
    """Build BioViL-T's image tower of its tensors by published name; raises CheckpointError."""
    width = tell_size(
        weights, (f"{TEMPORAL}type_embed", 2), (f"{TEMPORAL}norm_post.weight", 0), ("encoder.backbone_to_vit.weight", 0)
    )
    mlp = f"{TEMPORAL}blocks.0.mlp"
    mlp_width = tell_size(weights, (f"{mlp}.fc1.weight", 0), (f"{mlp}.fc1.bias", 0), (f"{mlp}.fc2.weight", 1))
    if width % HEADS:
        raise CheckpointError(f"checkpoint's temporal block has width {width}, which {HEADS} heads do not divide")
    trunk_sizes, projector_sizes = _trunk_sizes(weights), _projector_sizes(weights)

    def make() -> BiovilTImage:
        trunk = ResNet50(*trunk_sizes)
        to_static = nn.Conv2d(trunk.channels, width, 1, bias=False)
        temporal = TemporalBlock(width, mlp_width, BIOVIL_T_PX // REDUCTION_PX)
        return BiovilTImage(trunk, to_static, temporal, Projector(2 * width, *projector_sizes))

    return load_strictly(make, weights, published_name, _misfit("BioViL-T"))


def read_biovil_image(weights: Weights) -> BiovilImage:
    """Build BioViL's image tower of its tensors by published name; raises CheckpointError."""
    trunk_sizes, projector_sizes = _trunk_sizes(weights), _projector_sizes(weights)

    def make() -> BiovilImage:
        trunk = ResNet50(*trunk_sizes)
        return BiovilImage(trunk, Projector(trunk.channels, *projector_sizes))

    return load_strictly(make, weights, published_name, _misfit("BioViL"))


def _trunk_sizes(weights: Weights) -> tuple[int, tuple[int, ...]]:
    """Return the channels of the stem, and the inner ones of the four stages."""
    first = [TRUNK, *(f"{TRUNK}layer{number}.0." for number in range(1, len(DEPTHS) + 1))]
    parts = ("conv1.weight", "bn1.weight", "bn1.bias")
    stem, *widths = (tell_size(weights, *((f"{prefix}{part}", 0) for part in parts)) for prefix in first)
    return stem, tuple(widths)


def _projector_sizes(weights: Weights) -> tuple[int, int]:
    """Return the projector's hidden channels, and those of the shared space, which are as many as published."""
    first, norm, last = (f"projector.model.{number}" for number in (0, 1, 3))
    hidden = tell_size(weights, (f"{first}.weight", 0), (f"{norm}.weight", 0), (f"{norm}.bias", 0))
    return hidden, tell_size(weights, (f"{last}.weight", 0), (f"{last}.bias", 0), (f"{norm}.weight", 0))


def _misfit(title: str) -> str:
    return f"checkpoint is not a {title} checkpoint, or not a whole one"


def _read_biovil_t(
    checkpoint: Checkpoint, text_folder: Path | None, tokenizer: Path | None, image_heads: int | None
) -> Towers:
    folder = _check_inputs("BioViL-T", text_folder, tokenizer, image_heads)
    image = read_biovil_t_image(_used(checkpoint))
    sizes = {"temporal_width": image.to_static.out_channels, "temporal_depth": DEPTH, "temporal_heads": HEADS}
    return _put_together("biovil-t", image, sizes, BIOVIL_T_PX, ("prior", "frontal"), checkpoint, folder)


def _read_biovil(
    checkpoint: Checkpoint, text_folder: Path | None, tokenizer: Path | None, image_heads: int | None
) -> Towers:
    folder = _check_inputs("BioViL", text_folder, tokenizer, image_heads)
    image = read_biovil_image(_used(checkpoint))
    return _put_together("biovil", image, {}, BIOVIL_PX, ("frontal", "present"), checkpoint, folder)


def _check_inputs(title: str, text_folder: Path | None, tokenizer: Path | None, image_heads: int | None) -> Path:
    """Return the text-model folder; raise CheckpointError without one, and for what the family has no use for."""
    if text_folder is None:
        raise CheckpointError(f"{title} has its text model in a folder of its own: give it as --text-model")
    if tokenizer is not None:
        raise CheckpointError(f"{title} reads the vocab.txt of its text-model folder: leave --tokenizer out")
    if image_heads is not None:
        raise CheckpointError(f"{title} has {HEADS} heads or none, as published: leave --image-heads out")
    return text_folder


def _used(checkpoint: Checkpoint) -> Weights:
    return {name: tensor for name, tensor in checkpoint.weights.items() if not name.startswith(CLASSIFIER)}


def _put_together(
    name: str,
    image: BiovilTImage | BiovilImage,
    own_sizes: dict[str, int],
    px: int,
    fusion_modes: tuple[str, ...],
    checkpoint: Checkpoint,
    folder: Path,
) -> Towers:
    """Read the text model that goes with an image tower; the first of the fusion modes is the default."""
    embedding = image.projector.embedding
    text = read_cxr_bert(folder, embedding)
    return Towers(
        family=name,
        image=image,
        text=text.tower,
        sizes={
            "image_width": image.trunk.channels,
            "image_depth": sum(DEPTHS),
            "image_px": px,
            "patch_px": REDUCTION_PX,
            **own_sizes,
            **describe_bert(text.tower.config),
            "embedding": embedding,
        },
        geometry=Geometry(SHORTER_SIDE, RESIZE_PX, px, "bilinear", grey_first=True),
        intensity_profile=checkpoint.metadata.get(PROFILE, INTENSITY_PROFILE),
        tokenizer_json=text.tokenizer_json,
        prompt_rule=STRIP_FINAL_PUNCTUATION,
        fusion_modes=fusion_modes,
        default_fusion_mode=fusion_modes[0],
        patch_match=PHRASE,
        provenance={"checkpoint_sha256": checkpoint.sha256, "text_file": text.file, "text_sha256": text.sha256},
    )


def _has_trunk(names: frozenset[str]) -> bool:
    return any(name.startswith(TRUNK) for name in names)


def _has_temporal(names: frozenset[str]) -> bool:
    return any(name.startswith(OF_TEMPORAL) for name in names)


BIOVIL_T = Family(
    name="biovil-t",
    title="BioViL-T",
    licence=LICENCE,
    intended_use=BIOVIL_T_USE,
    method="BioViL-T (Bannur et al., CVPR 2023), as published",
    source_line=SOURCE,
    looks_for=(f"{TRUNK}*", f"{TEMPORAL}*"),
    recognises=lambda names: _has_trunk(names) and _has_temporal(names),
    read=_read_biovil_t,
    asking=BIOVIL_T_ASKING,
)
BIOVIL = Family(
    name="biovil",
    title="BioViL",
    licence=LICENCE,
    intended_use=BIOVIL_USE,
    method="BioViL (Boecking et al., ECCV 2022), as published",
    source_line=SOURCE,
    looks_for=(f"{TRUNK}*", f"no {TEMPORAL}*"),
    recognises=lambda names: _has_trunk(names) and not _has_temporal(names),
    read=_read_biovil,
    asking=ASKING,
)
