"""The folder of a model in the layout of open_clip: its config, its weights and its tokenizer, read within bounds."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alta_sdk.engine.schema import choice, integer, listing, number, parse_json, plain, record
from alta_sdk.engine.tokenizer import adopt_tokenizer, build_wordpiece, split_vocabulary
from alta_sdk.engine.tokenizer_file import read_tokenizer
from alta_sdk.errors import CheckpointError, PromptError
from alta_sdk.files.opening import read_bytes

from .checkpoint import read_lower_case

CONFIG, BERT_CONFIG, TOKENIZER, VOCABULARY = "open_clip_config.json", "config.json", "tokenizer.json", "vocab.txt"
TOKENIZER_OPTIONS = "tokenizer_config.json"
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # the first that is there is read
MAX_BYTES = 64 << 20

# What the towers compute is said here in words: another word is another arithmetic.
_VISION = record({"timm_proj": choice("linear")}, {"timm_pool": choice("", "token")}, other=plain)
_TEXT = record(
    {
        "hf_proj_type": choice("mlp"),
        "hf_pooler_type": choice("cls_last_hidden_state_pooler"),
        "context_length": integer(3, 1 << 16),
    },
    other=plain,
)
_MODEL = record({"embed_dim": integer(1, 1 << 20), "vision_cfg": _VISION, "text_cfg": _TEXT}, other=plain)
_PIXELS = record(
    {"mean": listing(number(0, 1), 3, 3), "std": listing(number(1e-3, 10), 3, 3)},
    {"interpolation": choice("bicubic"), "resize_mode": choice("shortest")},
    other=plain,
)
CONTENT = record({"model_cfg": _MODEL, "preprocess_cfg": _PIXELS}, other=plain)


@dataclass(frozen=True)
class OpenClipFolder:
    """What a folder says beside its weights.

    embedding: of the shared space. context: places of the text tower. mean, std: of each channel, in values 0…1.
    bert: the config.json of the text model, empty where there is none. last_token: the highest id of a token.
    """

    name: str
    embedding: int
    context: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bert: dict[str, Any]
    last_token: int
    tokenizer_json: str


def find_open_clip_weights(folder: Path) -> Path:
    """Return the weights in a folder; raise CheckpointError if there are none."""
    found = next((folder / name for name in WEIGHT_FILES if os.path.isfile(folder / name)), None)
    if found is None:
        raise CheckpointError(
            f"folder {folder.name} holds no weights; looked for {' and '.join(WEIGHT_FILES)}: of a family "
            "whose weights are one file, give that file"
        )
    return found


def read_open_clip_folder(folder: Path) -> OpenClipFolder:
    """Read a folder's config and tokenizer; raises CheckpointError for what is missing, damaged or of another kind."""
    content = _read_json(folder, CONFIG)
    try:
        CONTENT(content, "")
    except ValueError as error:
        raise CheckpointError(f"folder {folder.name}: {CONFIG} does not say what BiomedCLIP's says: {error}") from error
    bert = _read_json(folder, BERT_CONFIG) if os.path.isfile(folder / BERT_CONFIG) else {}
    tokenizer_json = _make_tokenizer(folder)
    model, pixels = content["model_cfg"], content["preprocess_cfg"]
    return OpenClipFolder(
        name=folder.name,
        embedding=model["embed_dim"],
        context=model["text_cfg"]["context_length"],
        mean=tuple(pixels["mean"]),
        std=tuple(pixels["std"]),
        bert=bert,
        last_token=max(read_tokenizer(tokenizer_json).ids.values()),
        tokenizer_json=tokenizer_json,
    )


def _make_tokenizer(folder: Path) -> str:
    """Return a bundle's tokenizer.json: of the folder's own, or of vocab.txt without one.

    open_clip cleans texts as for CLIP before BERT's tokenizer sees them.
    """
    if os.path.isfile(folder / TOKENIZER):
        return adopt_tokenizer(_read_text(folder, TOKENIZER), repairs=True)
    options = _read_json(folder, TOKENIZER_OPTIONS) if os.path.isfile(folder / TOKENIZER_OPTIONS) else {}
    lowercase = read_lower_case(options.get("do_lower_case", True), f"folder {folder.name}")
    try:
        return build_wordpiece(split_vocabulary(_read_text(folder, VOCABULARY)), lowercase=lowercase, repairs=True)
    except PromptError as error:
        raise CheckpointError(f"folder {folder.name}: {error}") from error


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = parse_json(_read_text(folder, name).encode())
    except ValueError as error:
        raise CheckpointError(f"folder {folder.name}: {name} is not JSON") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"folder {folder.name}: {name} is no object")
    return content


def _read_text(folder: Path, name: str) -> str:
    try:
        data = read_bytes(folder / name, MAX_BYTES)
        if len(data) > MAX_BYTES:
            raise CheckpointError(f"folder {folder.name}: {name} holds more than {MAX_BYTES >> 20} MiB: it is damaged")
        return data.decode("utf-8")
    except FileNotFoundError as error:
        raise CheckpointError(f"folder {folder.name}: {name} not found; give the folder as published") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"folder {folder.name}: {name} cannot be read") from error
