"""The two files of a model card beside the weights: README.md, Markdown with a YAML head, and card.json."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alta_sdk.engine.bundle import CARD

from .card_content import describe_card, render_content
from .card_figures import OtherHospital, SplitFigures
from .card_head import render_head
from .model_card import CardFacts, render_card

README = "README.md"
CARD_FILES = (README, CARD)


def write_card(
    folder: Path,
    facts: CardFacts,
    splits: Sequence[SplitFigures],
    curve: Sequence[Mapping[str, Any]],
    other: OtherHospital | None = None,
    statements: Sequence[str] = (),
) -> None:
    """Write both files into a folder, of the same figures."""
    content = describe_card(facts, splits, curve, other)
    markdown = render_card(facts, splits, curve, other, statements)
    (folder / README).write_bytes((render_head(content) + markdown).encode("utf-8"))
    (folder / CARD).write_bytes(render_content(content))
