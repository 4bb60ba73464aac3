"""Checkpoints: the one place that reads and writes weights, in the published names.

Reads the published `ALTA.pth` (`{"model": state_dict, "epoch": n}`, `missing_token` in float16), other pickles
as `pickles.py` allows them, and safetensors; writes safetensors. What a file says of itself is text of strangers:
numbers in it are checked before they are used.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import BertConfig

from alta_sdk.dicom.intensity import PROFILES, PUBLISHED
from alta_sdk.engine.bundle import hash_file
from alta_sdk.engine.tokenizer import split_vocabulary
from alta_sdk.errors import CheckpointError
from alta_sdk.files.atomic import new_file
from alta_sdk.files.opening import is_there, read_text

from ..model import AltaModel
from ..model.names import published_name
from .inferred_sizes import infer_sizes
from .pickles import read_pickle
from .prefixes import strip_prefix
from .storage import SCALE, pack, render_safetensors, unpack
from .strict import describe_misfits

# A tied tensor may be stored under either name.
TIED = {
    "bert_encoder.cls.predictions.decoder.weight": "bert_encoder.bert.embeddings.word_embeddings.weight",
    "bert_encoder.cls.predictions.decoder.bias": "bert_encoder.cls.predictions.bias",
}
MAX_STATED, MAX_STATEMENTS = 100_000, 1000
PROFILE = "intensity_profile"
CONFIG_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
# Weights of a training objective's own stand beside the model's: objective.NAME.…
OBJECTIVE_PREFIX = "objective."
# Floating-point formats of 8 bits and unsigned ones of more are of programs that the arithmetic here is not from.
READABLE = frozenset(
    (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool, torch.uint8)
    + (torch.int8, torch.int16, torch.int32, torch.int64)
)
# Buffers that older transformers stored; they hold 0, 1, 2, … and are made anew.
IGNORED = frozenset({"bert_encoder.bert.embeddings.position_ids"})


@dataclass(frozen=True)
class Checkpoint:
    """Weights by published name, what the file says of itself, its SHA-256 and the number formats that it stores."""

    weights: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)
    sha256: str = ""
    formats: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextModel:
    """A text-model folder: BERT's configuration and vocabulary."""

    config: BertConfig
    vocabulary: list[str]
    lowercase: bool


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint file, published or our own.

    Raises CheckpointError if it cannot be read, carries code, or holds a value that is not finite.
    """
    if not os.path.isfile(path):  # unlike Path.is_file, never raises
        raise CheckpointError(f"checkpoint {path.name} not found: give the .pth or .safetensors file")
    stored, metadata = (
        _read_safetensors(path) if path.suffix == ".safetensors" else (read_pickle(path), dict[str, str]())
    )
    _check_metadata(metadata, path.name)
    formats = _list_formats(stored, path.name)
    weights = unpack(strip_prefix(stored, path.name))
    weights = {name: tensor for name, tensor in weights.items() if name not in IGNORED}
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"checkpoint {path.name}: {name} holds values that are not finite")
    try:
        return Checkpoint(weights, metadata, hash_file(path), formats)
    except OSError as error:
        raise CheckpointError(f"checkpoint {path.name} cannot be read: {error.strerror}") from error


def _list_formats(stored: Mapping[str, Tensor], name: str) -> tuple[str, ...]:
    """Return the number formats of tensors, by name; raise CheckpointError for one that cannot be computed with."""
    for key, tensor in stored.items():
        if tensor.dtype not in READABLE:
            raise CheckpointError(
                f"checkpoint {name}: {key} holds numbers in the format {_name_format(tensor)}: save it in float32"
            )
    return tuple(sorted({_name_format(tensor) for tensor in stored.values()}))


def _name_format(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _check_metadata(metadata: Mapping[str, str], name: str) -> None:
    """Raise CheckpointError for statements that are no statements; heads and adapters are checked where they are used.

    They go into manifests and are shown to people, whose readers have bounds of their own.
    """
    if max(map(len, metadata.values()), default=0) > MAX_STATED or len(metadata) > MAX_STATEMENTS:
        raise CheckpointError(
            f"checkpoint {name}: its metadata is absurd: more than {MAX_STATEMENTS} statements, or one of more than "
            f"{MAX_STATED} characters"
        )
    if metadata.get(PROFILE, PUBLISHED) not in PROFILES:
        raise CheckpointError(f"checkpoint {name} states an unknown intensity profile; known: {', '.join(PROFILES)}")


def read_text_model(folder: Path) -> TextModel:
    """Read config.json, vocab.txt and, if there, tokenizer_config.json of a BERT folder; raises CheckpointError."""
    if os.path.isfile(folder):
        raise CheckpointError(f"text model {folder.name} is a file: give the folder that holds config.json, vocab.txt")
    try:
        config = BertConfig.from_dict(json.loads(read_text(folder / "config.json")))
        vocabulary = split_vocabulary(read_text(folder / "vocab.txt"))
        options_file = folder / "tokenizer_config.json"
        options = json.loads(read_text(options_file)) if is_there(options_file) else {}
        stated = options.get("do_lower_case", True)
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise CheckpointError(f"text model {folder.name}: {missing} not found; give a BERT folder") from error
    except Exception as error:  # transformers raises kinds of its own for values of another type
        raise CheckpointError(f"text model {folder.name}: its files cannot be read as a BERT folder") from error
    _check_config(config, folder.name)
    return TextModel(config, vocabulary, read_lower_case(stated, f"text model {folder.name}"))


def read_lower_case(stated: object, what: str) -> bool:
    """Return whether a tokenizer turns letters to lower case, as tokenizer_config.json states it.

    Raises CheckpointError for another value: "no" in quotes must not be read as yes. what: whose file it is.
    """
    if not isinstance(stated, bool):
        raise CheckpointError(f"{what}: do_lower_case in tokenizer_config.json is neither true nor false")
    return stated


def _check_config(config: BertConfig, name: str) -> None:
    """Raise CheckpointError unless sizes are whole numbers above 0, heads divide the width and norms have an eps."""
    for size in CONFIG_SIZES:
        value = getattr(config, size, None)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"text model {name}: {size} in config.json is not a whole number above 0")
    if config.hidden_size % config.num_attention_heads:
        raise CheckpointError(f"text model {name}: num_attention_heads in config.json does not divide hidden_size")
    if not 0 < config.layer_norm_eps < 1:  # so is NaN, which JSON of Python's may hold
        raise CheckpointError(f"text model {name}: layer_norm_eps in config.json is not a number between 0 and 1")


def load_model(
    checkpoint: Checkpoint, text_model: TextModel, image_heads: int | None = None, *, decodes: bool = True
) -> AltaModel:
    """Build the model that the tensors describe and load them into it, in float32 and evaluation mode.

    image_heads: attention heads of the image tower, which no tensor tells; None takes the file's own
    word, or else the text model's head size, which the published towers share.
    decodes: False for who never runs the decoder: its heads, which no tensor tells either, need not be known then.
    Raises CheckpointError with the exact names if tensors are missing, unexpected or of another shape.
    """
    sizes = infer_sizes(checkpoint.weights, checkpoint.metadata, text_model.config, image_heads, decodes=decodes)
    if len(text_model.vocabulary) > sizes.text.config.vocab_size:
        raise CheckpointError("text model: vocab.txt has more tokens than the checkpoint has embeddings")
    model = AltaModel(sizes)
    load_weights(model, checkpoint.weights)
    return model.eval()


def load_weights(model: AltaModel, weights: Mapping[str, Tensor]) -> None:
    """Copy weights by published name into a model; raise CheckpointError unless every name and shape fits.

    Weights of training objectives are passed over: the model does not need them.
    """
    state = model.state_dict()
    by_published = {published_name(name): name for name in state}
    given = {name: tensor for name, tensor in weights.items() if not name.startswith(OBJECTIVE_PREFIX)}
    for tied, source in TIED.items():
        if tied not in given and source in given:
            given[tied] = given[source]
    expected = {name: state[own] for name, own in by_published.items()}
    misfits = describe_misfits(expected, given)
    if misfits:
        raise CheckpointError(f"checkpoint does not fit the ALTA model: {misfits}")
    model.load_state_dict({own: given[name].to(state[own].dtype) for name, own in by_published.items()})


def save_checkpoint(
    model: AltaModel,
    path: Path,
    metadata: Mapping[str, str],
    storage: torch.dtype = torch.float32,
    objective_weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a model as safetensors, atomically, with the heads, the adapters' kind and the given statements.

    The same content gives the same bytes.
    storage: the number format of the file; float16 halves it, with products that 8 bits hold exactly in those, and
    reading gives float32 again.
    objective_weights: what training objectives learned for themselves, by names with OBJECTIVE_PREFIX.
    Raises CheckpointError if a value does not fit the format.
    """
    named = {published_name(name): tensor for name, tensor in model.state_dict().items()}
    named.update(objective_weights or {})
    weights = {name: tensor.detach() for name, tensor in named.items()}
    if storage != torch.float32:
        weights = {name: _narrow(name, tensor, storage) for name, tensor in pack(weights).items()}
    weights = {name: tensor.clone().contiguous() for name, tensor in weights.items()}
    for tied, source in TIED.items():
        if storage != torch.float32 and source in weights:
            weights.pop(tied, None)  # one copy is enough in a file that is to be small
    beyond = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if beyond:
        raise CheckpointError(f"{beyond[0]} holds values that {storage} cannot: the checkpoint is not written")
    own = {
        "image_heads": str(model.sizes.image.heads),
        **({"decoder_heads": str(model.sizes.decoder.heads)} if model.sizes.decoder else {}),
        "adapter": model.sizes.image.adapter,
    }
    with new_file(path) as temporary:
        temporary.write_bytes(render_safetensors(weights, {**metadata, **own}))


def _narrow(name: str, tensor: Tensor, storage: torch.dtype) -> Tensor:
    """Give a tensor the storage's format, but for whole numbers and their scales, which are exact as they are."""
    return tensor if tensor.dtype == torch.int8 or name.endswith(SCALE) else tensor.to(storage)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"checkpoint {path.name} cannot be read: it is damaged or not safetensors") from error
