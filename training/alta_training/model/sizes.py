"""The sizes of an ALTA model; a checkpoint's own tensors tell all of them but the heads."""

from dataclasses import dataclass

from transformers import BertConfig

from ..adapters import PUBLISHED_ADAPTER


@dataclass(frozen=True)
class ImageSizes:
    """Sizes of the image tower.

    image_px and patch_px: sides in pixels; a study's slot has (image_px / patch_px)² patches.
    mlp_width, attention_adapter_width, mlp_adapter_width: hidden units. adapter: the kind, by name.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_width: int = 3072
    attention_adapter_width: int = 192
    mlp_adapter_width: int = 192
    image_px: int = 224
    patch_px: int = 16
    embedding: int = 128
    adapter: str = PUBLISHED_ADAPTER

    @property
    def patches(self) -> int:
        """The number of patches of one radiograph."""
        return (self.image_px // self.patch_px) ** 2


@dataclass(frozen=True)
class DecoderSizes:
    """Sizes of the reconstruction decoder; its target has twice the tower's resolution."""

    width: int = 768
    depth: int = 4
    heads: int = 6
    mlp_width: int = 3072


@dataclass(frozen=True)
class TextSizes:
    """What the text tower has beyond its BERT configuration."""

    config: BertConfig
    attention_adapter_width: int = 192
    mlp_adapter_width: int = 192
    embedding: int = 128
    adapter: str = PUBLISHED_ADAPTER


@dataclass(frozen=True)
class ModelSizes:
    """Sizes of a whole ALTA model."""

    image: ImageSizes
    decoder: DecoderSizes | None  # none where nothing is to be reconstructed
    text: TextSizes

    def describe(self) -> dict[str, int]:
        """Return the sizes that a reader of a manifest or a model card may want."""
        image, text = self.image, self.text.config
        return {
            "image_width": image.width,
            "image_depth": image.depth,
            "image_heads": image.heads,
            "image_px": image.image_px,
            "patch_px": image.patch_px,
            "text_width": text.hidden_size,
            "text_depth": text.num_hidden_layers,
            "text_heads": text.num_attention_heads,
            "vocabulary": text.vocab_size,
            "max_tokens": text.max_position_embeddings,
            "embedding": image.embedding,
        }
