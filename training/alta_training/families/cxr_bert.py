"""CXR-BERT out of its published folder: the text tower of BioViL-T and BioViL.

The folder holds config.json, vocab.txt and the weights, as a pickle or as safetensors. Its masked-word head is known
and left behind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from transformers import BertConfig

from alta_sdk.errors import CheckpointError

from ..model import torchvision_ops  # noqa: F401  transformers imports torchvision
from ..model.heads import ProjectionHead
from .bert_tower import BertTower, fill_in_tied, make_tokenizer, read_text_weights
from .checkpoint import CONFIG_SIZES, Checkpoint, read_text_model
from .inferred_sizes import MAX_LAYERS
from .strict import load_strictly, tell_size

from transformers.models.bert.modeling_bert import BertOnlyMLMHead  # isort: skip

HEAD = "cls_projection_head"
# Stored once in safetensors, twice in the pickle.
TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
MAX_SIZE = 2**24  # of a tensor that config.json speaks of
IGNORED = frozenset({"bert.embeddings.position_ids"})  # 0, 1, 2, …; older transformers stored it


class WholeCxrBert(BertTower):
    """The tower beside the masked-word head: all that the file must hold."""

    def __init__(self, config: BertConfig, head: nn.Module) -> None:
        """Make it with fresh weights."""
        super().__init__(config, head)
        self.cls = BertOnlyMLMHead(config)


@dataclass(frozen=True)
class CxrBert:
    """A text tower, its tokenizer.json, the folder's file that its weights are from, and that file's SHA-256."""

    tower: BertTower
    tokenizer_json: str
    file: str
    sha256: str


def read_cxr_bert(folder: Path, embedding: int) -> CxrBert:
    """Read a text-model folder whose head leads into a space of `embedding` numbers.

    Raises CheckpointError that names what is missing, unexpected, misshapen or contradictory.
    """
    text_model = read_text_model(folder)
    tokenizer_json = make_tokenizer(text_model, folder.name)
    file, checkpoint = read_text_weights(folder)
    tower = _load_tower(checkpoint, text_model.config, embedding, f"text model {folder.name}")
    return CxrBert(tower, tokenizer_json, file, checkpoint.sha256)


def _load_tower(checkpoint: Checkpoint, config: BertConfig, embedding: int, what: str) -> BertTower:
    given = {name: tensor for name, tensor in checkpoint.weights.items() if name not in IGNORED}
    weights = fill_in_tied(given, TIED)
    _check_config(config, embedding, what)
    _check_head(weights, embedding, what)

    def make() -> WholeCxrBert:
        return WholeCxrBert(config, ProjectionHead(config.hidden_size, embedding))

    loaded = load_strictly(make, weights, published_name, f"{what} is not a CXR-BERT, or not a whole one")
    del loaded.cls
    return loaded


def published_name(name: str) -> str:
    """Return the published name of one of our parameters."""
    part, _, rest = name.partition(".")
    return f"{HEAD}.{rest}" if part == "head" else name


def _check_config(config: BertConfig, embedding: int, what: str) -> None:
    """Raise CheckpointError for arithmetic that is not CXR-BERT's, another space, or sizes that no file has."""
    sizes = [getattr(config, name) for name in CONFIG_SIZES]
    if max(sizes) > MAX_SIZE or config.num_hidden_layers > MAX_LAYERS:
        raise CheckpointError(f"{what}: sizes in config.json are absurd: it is damaged")
    if config.hidden_act != "gelu" or getattr(config, "position_embedding_type", "absolute") != "absolute":
        raise CheckpointError(f'{what}: config.json has another activation than "gelu", or other positions')
    stated = getattr(config, "projection_size", embedding)
    if not isinstance(stated, int) or isinstance(stated, bool):
        raise CheckpointError(f"{what}: projection_size in config.json is not a whole number")
    if stated != embedding:
        raise CheckpointError(_other_space(what, stated, embedding))


def _check_head(weights: Mapping[str, Tensor], embedding: int, what: str) -> None:
    """Raise CheckpointError for a head into another space than the image model's."""
    names = [name for name in (f"{HEAD}.dense_to_output.bias", f"{HEAD}.dense_to_output.weight") if name in weights]
    if names and (size := tell_size(weights, *((name, 0) for name in names))) != embedding:
        raise CheckpointError(_other_space(what, size, embedding))


def _other_space(what: str, size: object, embedding: int) -> str:
    return f"{what} projects to {size} numbers, the image model to {embedding}: give the folder published with it"
