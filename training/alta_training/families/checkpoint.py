"""Checkpoints: the one place that reads and writes weights, in the published names.

Reads the published `ALTA.pth` (`{"model": state_dict, "epoch": n}`, `missing_token` in float16) and
safetensors; writes safetensors. A pickle can carry code, so only tensors and plain values are ever
unpickled.
"""

import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from transformers import BertConfig

from alta_sdk.engine.bundle import hash_file
from alta_sdk.engine.tokenizer import split_vocabulary
from alta_sdk.errors import CheckpointError
from alta_sdk.files.atomic import new_file

from ..adapters import ADAPTERS, PUBLISHED_ADAPTER
from ..model import AltaModel
from ..model.names import published_name
from ..model.sizes import DecoderSizes, ImageSizes, ModelSizes, TextSizes
from .storage import SCALE, pack, unpack

SHOWN_NAMES = 8
# No tensor tells the decoder's heads: 6 at the published width, where the tower has 12.
PUBLISHED_DECODER_HEADS = {768: 6}
# A tied tensor may be stored under either name.
TIED = {
    "bert_encoder.cls.predictions.decoder.weight": "bert_encoder.bert.embeddings.word_embeddings.weight",
    "bert_encoder.cls.predictions.decoder.bias": "bert_encoder.cls.predictions.bias",
}
# Weights of a training objective's own stand beside the model's: objective.NAME.…
OBJECTIVE_PREFIX = "objective."
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
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path.name} not found: give the .pth or .safetensors file")
    stored, metadata = (
        _read_safetensors(path) if path.suffix == ".safetensors" else (_read_pickle(path), dict[str, str]())
    )
    formats = tuple(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in stored.values()}))
    weights = {name: tensor for name, tensor in unpack(stored).items() if name not in IGNORED}
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"checkpoint {path.name}: {name} holds values that are not finite")
    return Checkpoint(weights, metadata, hash_file(path), formats)


def read_text_model(folder: Path) -> TextModel:
    """Read config.json, vocab.txt and, if there, tokenizer_config.json of a BERT folder."""
    try:
        config = BertConfig.from_dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        vocabulary = split_vocabulary((folder / "vocab.txt").read_text(encoding="utf-8"))
        options_file = folder / "tokenizer_config.json"
        options = json.loads(options_file.read_text(encoding="utf-8")) if options_file.exists() else {}
        lowercase = bool(options.get("do_lower_case", True))
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise CheckpointError(f"text model {folder.name}: {missing} not found; give a BERT folder") from error
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"text model {folder.name}: its files cannot be read as a BERT folder") from error
    return TextModel(config, vocabulary, lowercase)


def load_model(checkpoint: Checkpoint, text_model: TextModel, image_heads: int | None = None) -> AltaModel:
    """Build the model that the tensors describe and load them into it, in float32 and evaluation mode.

    image_heads: attention heads of the image tower, which no tensor tells; None takes the file's own
    word, or else the text model's head size, which the published towers share.
    Raises CheckpointError with the exact names if tensors are missing, unexpected or of another shape.
    """
    sizes = infer_sizes(checkpoint, text_model, image_heads)
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
    missing = sorted(set(by_published) - set(given))
    unexpected = sorted(set(given) - set(by_published))
    misshapen = sorted(
        name for name, own in by_published.items() if name in given and given[name].shape != state[own].shape
    )
    problems = [
        f"{kind} {_shown(names)}"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
        if names
    ]
    if problems:
        raise CheckpointError(f"checkpoint does not fit the ALTA model: {'; '.join(problems)}")
    model.load_state_dict({own: given[name].to(state[own].dtype) for name, own in by_published.items()})


def save_checkpoint(
    model: AltaModel,
    path: Path,
    metadata: Mapping[str, str],
    storage: torch.dtype = torch.float32,
    objective_weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a model as safetensors, atomically, with the heads, the adapters' kind and the given statements.

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
        temporary.write_bytes(save(weights, metadata={**metadata, **own}))  # save_file's are private to the user


def _narrow(name: str, tensor: Tensor, storage: torch.dtype) -> Tensor:
    """Give a tensor the storage's format, but for whole numbers and their scales, which are exact as they are."""
    return tensor if tensor.dtype == torch.int8 or name.endswith(SCALE) else tensor.to(storage)


def infer_sizes(checkpoint: Checkpoint, text_model: TextModel, image_heads: int | None = None) -> ModelSizes:
    """Read every size from the tensors; heads from `image_heads`, the metadata or the text model.

    Raises CheckpointError if a tensor that tells a size is missing, or if sizes contradict each other.
    """
    shape = partial(shape_of, checkpoint.weights)
    kind = read_adapter_kind(checkpoint)
    text = _text_sizes(checkpoint.weights, text_model.config, kind)
    width = shape("patch_embed.proj.weight", 0)
    patches = shape("pos_embed", 1) - 1
    patch_px = shape("patch_embed.proj.weight", 2)
    head_size = text.config.hidden_size // text.config.num_attention_heads
    heads = image_heads or int(checkpoint.metadata.get("image_heads", 0)) or width // head_size
    if width % heads or round(patches**0.5) ** 2 != patches:
        raise CheckpointError(f"{heads} heads do not divide the image tower's width {width}: give --image-heads")
    image = ImageSizes(
        width=width,
        depth=count_layers(checkpoint.weights, "blocks"),
        heads=heads,
        mlp_width=shape("blocks.0.mlp.fc1.weight", 0),
        attention_adapter_width=shape(f"blocks.0.attn_adapter.{ADAPTERS[kind].hidden_in}", 0),
        mlp_adapter_width=shape(f"blocks.0.mlp_adapter.{ADAPTERS[kind].hidden_in}", 0),
        image_px=round(patches**0.5) * patch_px,
        patch_px=patch_px,
        embedding=shape("projection_head.dense_to_output.weight", 0),
        adapter=kind,
    )
    return ModelSizes(image, infer_decoder_sizes(checkpoint, heads), text)


def infer_decoder_sizes(checkpoint: Checkpoint, image_heads: int) -> DecoderSizes | None:
    """Read the decoder's sizes from its tensors; a checkpoint without any has no decoder, and gives None."""
    if not any(name.startswith(("decoder_", "mask_token")) for name in checkpoint.weights):
        return None
    width = shape_of(checkpoint.weights, "decoder_embed.weight", 0)
    return DecoderSizes(
        width=width,
        depth=count_layers(checkpoint.weights, "decoder_blocks"),
        heads=int(checkpoint.metadata.get("decoder_heads", 0)) or PUBLISHED_DECODER_HEADS.get(width, image_heads),
        mlp_width=shape_of(checkpoint.weights, "decoder_blocks.0.mlp.fc1.weight", 0),
    )


def read_adapter_kind(checkpoint: Checkpoint) -> str:
    """Return the kind of a checkpoint's adapters, the published one if it does not say.

    Raises CheckpointError for a kind that is not known.
    """
    kind = checkpoint.metadata.get("adapter", PUBLISHED_ADAPTER)
    if kind not in ADAPTERS:
        raise CheckpointError(f"checkpoint has adapters of a kind that is not known; known: {', '.join(ADAPTERS)}")
    return kind


def _text_sizes(weights: Mapping[str, Tensor], config: BertConfig, kind: str) -> TextSizes:
    prefix = "bert_encoder.bert"
    shape = partial(shape_of, weights)
    told = {
        "vocab_size": shape(f"{prefix}.embeddings.word_embeddings.weight", 0),
        "hidden_size": shape(f"{prefix}.embeddings.word_embeddings.weight", 1),
        "max_position_embeddings": shape(f"{prefix}.embeddings.position_embeddings.weight", 0),
        "type_vocab_size": shape(f"{prefix}.embeddings.token_type_embeddings.weight", 0),
        "num_hidden_layers": count_layers(weights, f"{prefix}.encoder.layer"),
        "intermediate_size": shape(f"{prefix}.encoder.layer.0.intermediate.dense.weight", 0),
    }
    different = [name for name, value in told.items() if getattr(config, name, None) != value]
    if different:
        raise CheckpointError(
            f"text model's config.json contradicts the checkpoint in {', '.join(different)}: "
            "give the text-model folder that the checkpoint was trained with"
        )
    layer = f"{prefix}.encoder.layer.0"
    return TextSizes(
        config=config,
        attention_adapter_width=shape(f"{layer}.attn_adapter.{ADAPTERS[kind].hidden_in}", 0),
        mlp_adapter_width=shape(f"{layer}.mlp_adapter.{ADAPTERS[kind].hidden_in}", 0),
        embedding=shape("bert_encoder.cls_projection_head.dense_to_output.weight", 0),
        adapter=kind,
    )


def shape_of(weights: Mapping[str, Tensor], name: str, axis: int) -> int:
    """Return one side of a tensor; raise CheckpointError if it is not there."""
    tensor = weights.get(name)
    if tensor is None or tensor.ndim <= axis:
        raise CheckpointError(f"checkpoint is not an ALTA checkpoint, or not a whole one: missing {name}")
    return int(tensor.shape[axis])


def count_layers(weights: Mapping[str, Tensor], prefix: str) -> int:
    """Count the numbered parts under a prefix; raise CheckpointError if there is none."""
    pattern = re.compile(rf"{re.escape(prefix)}\.(\d+)\.")
    numbers = {int(match[1]) for name in weights if (match := pattern.match(name))}
    if not numbers:
        raise CheckpointError(f"checkpoint is not an ALTA checkpoint, or not a whole one: missing {prefix}.0")
    return max(numbers) + 1


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"checkpoint {path.name} is refused: it holds more than tensors, or is damaged; save a plain state_dict"
        ) from error
    except Exception as error:  # torch raises RuntimeError, EOFError, KeyError and others for damaged files
        raise CheckpointError(f"checkpoint {path.name} cannot be read: it is damaged or not a checkpoint") from error
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise CheckpointError(f"checkpoint {path.name} holds no state_dict: the published files have it as 'model'")
    return dict(state)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"checkpoint {path.name} cannot be read: it is damaged or not safetensors") from error


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"{len(names)} ({', '.join(names[:SHOWN_NAMES])}{more})"
