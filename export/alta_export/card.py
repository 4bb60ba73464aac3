"""The model card that an engine takes with it: found beside the checkpoint, where publish.py writes it, or given.

A card of other weights would vouch for what it never measured: so card.json names the weights that it is of, and an
export of others is refused. The export changes neither file; a Markdown file alone gets a card.json of what the
checkpoint states, which says that no figure was checked.
"""

import os
from pathlib import Path

from alta_sdk.engine.bundle import CARD, CARD_TEXT
from alta_sdk.engine.card import ModelCard
from alta_sdk.errors import ExportError
from alta_sdk.files.opening import read_bytes
from alta_training.evaluation.card_content import describe_facts, render_content
from alta_training.evaluation.card_files import README
from alta_training.evaluation.card_head import has_head, render_head
from alta_training.families.checkpoint import Checkpoint

MOST_BYTES = 1 << 20
UNCHECKED = "given as Markdown: what it measures is in card.md alone, and nothing of it was checked"


def read_card_files(given: Path | None, checkpoint: Path, source: Checkpoint, name: str) -> dict[str, bytes]:
    """Return the bundle's card.md and card.json, or none if there is no card.

    given: the Markdown file of --card, whose card.json may lie beside it. Without it both are looked for beside the
    checkpoint. Raises ExportError for a card that cannot be read, is none, or is of other weights.
    """
    markdown = given or (checkpoint if os.path.isdir(checkpoint) else checkpoint.parent) / README
    beside = markdown.with_name(CARD)
    if given is None and not os.path.isfile(beside):
        return {}
    text = _read(markdown)
    if os.path.isfile(beside):
        figures = _read(beside)
        _check(_parse(text, figures), source)
        return {CARD_TEXT: text, CARD: figures}
    content = {**describe_facts(name, source.sha256, source.metadata), "source": UNCHECKED}
    if not has_head(text.decode("utf-8", "replace")):
        text = render_head(content).encode() + text
    figures = render_content(content)
    _parse(text, figures)
    return {CARD_TEXT: text, CARD: figures}


def _check(card: ModelCard, source: Checkpoint) -> None:
    if card.content.get("weights_sha256") != source.sha256:
        raise ExportError(
            f"{CARD} is of other weights than the checkpoint: publish the model again, or give its own with --card"
        )


def _parse(text: bytes, figures: bytes) -> ModelCard:
    try:
        return ModelCard.parse(text, figures)
    except ValueError as error:
        raise ExportError(f"model card cannot be used: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, MOST_BYTES)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ExportError(f"{path.name} of the model card cannot be read: {reason}") from error
