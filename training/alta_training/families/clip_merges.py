"""CLIP's merges file, `bpe_simple_vocab_16e6.txt.gz`: read within bounds, and made a tokenizer.json."""

import gzip
import os
import zlib
from pathlib import Path

from alta_sdk.engine.byte_pairs import build_byte_pairs, list_letters
from alta_sdk.errors import CheckpointError, PromptError
from alta_sdk.files.opening import open_file

NAME = "bpe_simple_vocab_16e6.txt.gz"
GZIP = b"\x1f\x8b"
MAX_BYTES = 8 << 20  # the published file has 3.2 MB, 1.4 packed
NO_MERGE = 2 * len(list_letters()) + 2  # tokens that no merge makes: letters, letters that end a word, start and end


def make_clip_tokenizer(tokenizer: Path | None, folder: Path | None, vocabulary: int, context: int) -> str:
    """Return the tokenizer.json of a CLIP checkpoint.

    tokenizer: the merges file; None looks for it in the folder by its published name.
    vocabulary: rows of the token embedding; context: places of the text tower.
    Raises CheckpointError if it is not there, not such a file, or holds fewer merges than the vocabulary has.
    """
    path = tokenizer or (folder / NAME if folder is not None else None)
    if path is None or not os.path.isfile(path):
        raise CheckpointError(f"CLIP's merges file {NAME} not found: put it beside the checkpoint or give --tokenizer")
    merges = _split_merges(_read_text(path), path.name)
    count = vocabulary - NO_MERGE
    if not 0 < count <= len(merges):
        raise CheckpointError(
            f"{path.name} holds {len(merges)} merges, the checkpoint has a vocabulary of {vocabulary}: give the merges "
            "file that it was trained with"
        )
    try:
        return build_byte_pairs(merges[:count], context)
    except PromptError as error:
        raise CheckpointError(f"{path.name}: {error}") from error


def _read_text(path: Path) -> str:
    """Return the file's text, unpacked if it is packed; never more than MAX_BYTES are made of it."""
    try:
        with open_file(path) as file:
            packed = file.read(len(GZIP)) == GZIP
            file.seek(0)
            data = (gzip.GzipFile(fileobj=file) if packed else file).read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise CheckpointError(f"{path.name} holds more than {MAX_BYTES >> 20} MiB: it is not CLIP's merges file")
        return data.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path.name} cannot be read: it is damaged or not CLIP's merges file") from error


def _split_merges(text: str, name: str) -> list[tuple[str, str]]:
    """Return the pairs, one a line, of which the first line is none; lines of the end may be empty."""
    pairs = [line.split(" ") for line in text.rstrip("\n").split("\n")[1:]]
    if not pairs or any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise CheckpointError(f"{name} is not CLIP's merges file: each line after the first holds two tokens")
    return [(left, right) for left, right in pairs]
