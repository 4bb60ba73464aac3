"""A text tower as most families have it: BERT, and a head on [CLS] that leads into the shared space."""

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn
from transformers import BertConfig

from alta_sdk.engine.tokenizer import build_wordpiece
from alta_sdk.errors import CheckpointError, PromptError

from ..model import torchvision_ops  # noqa: F401  transformers imports torchvision
from ..model.text import run_layers
from .checkpoint import Checkpoint, TextModel, read_checkpoint

from transformers.models.bert.modeling_bert import BertModel  # isort: skip

# The first that is there is read: both hold the same weights, and safetensors hold nothing else.
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


class BertTower(nn.Module):
    """BERT without adapters; head: from the width of BERT to the shared space."""

    def __init__(self, config: BertConfig, head: nn.Module) -> None:
        """Make a tower with fresh weights (a checkpoint replaces them)."""
        super().__init__()
        self.config = config
        self.bert = BertModel(config, add_pooling_layer=False)
        self.head = head

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode tokens: both (n, length) int64 to (n, length, width), [CLS] first."""
        hidden: Tensor = self.bert.embeddings(input_ids)
        return run_layers(self.bert.encoder.layer, hidden, attention_mask)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the projections (n, embedding) of prompts, not of unit length."""
        projection: Tensor = self.head(self.encode(input_ids, attention_mask)[:, 0])
        return projection


def read_text_weights(folder: Path) -> tuple[str, Checkpoint]:
    """Return the name and the content of a text-model folder's weights.

    Raises CheckpointError if there are none, or they cannot be read.
    """
    found = next((name for name in WEIGHT_FILES if os.path.isfile(folder / name)), None)
    if found is None:
        raise CheckpointError(f"text model {folder.name}: no weights in it; looked for {' and '.join(WEIGHT_FILES)}")
    return found, read_checkpoint(folder / found)


def fill_in_tied(weights: Mapping[str, Tensor], tied: Mapping[str, str]) -> dict[str, Tensor]:
    """Return weights in which a tensor that may be stored once, under the name of another, has its own name, too."""
    filled = dict(weights)
    for name, source in tied.items():
        if name not in filled and source in filled:
            filled[name] = filled[source]
    return filled


def make_tokenizer(text_model: TextModel, name: str) -> str:
    """Return the tokenizer.json of a text-model folder's vocabulary.

    Raises CheckpointError if it is none of BERT's, or has more tokens than the tower has embeddings.
    """
    if len(text_model.vocabulary) > text_model.config.vocab_size:
        raise CheckpointError(f"text model {name}: vocab.txt has more tokens than the weights have embeddings")
    try:
        return build_wordpiece(text_model.vocabulary, lowercase=text_model.lowercase)
    except PromptError as error:
        raise CheckpointError(f"text model {name}: {error}") from error


def describe_bert(config: BertConfig) -> dict[str, int]:
    """Return the sizes that a reader of a manifest may want."""
    return {
        "text_width": config.hidden_size,
        "text_depth": config.num_hidden_layers,
        "text_heads": config.num_attention_heads,
        "vocabulary": config.vocab_size,
        "max_tokens": config.max_position_embeddings,
    }
