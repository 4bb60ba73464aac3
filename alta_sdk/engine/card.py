"""The model card that travels in a bundle: card.md for people, card.json for programs, both under its hashes.

It says what a model was trained on and what was measured, on what, with intervals: what a site must know of an engine
and the manifest does not hold. The threat is a card without end, or one that a terminal obeys: both files are bounded
before they are read, what card.json may hold is checked as a whole, and whoever shows a line spells it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import IntegrityError
from .bundle import CARD, CARD_TEXT, MAX_FILE_MIB, MIB, Bundle
from .manifest import Manifest
from .schema import integer, parse_json, plain, record, text

SCHEMA_VERSION = 1
_CONTENT = record({"schema_version": integer(1, 1000), "name": text(200)}, other=plain)


@dataclass(frozen=True)
class ModelCard:
    """text: Markdown with a YAML head. content: the same facts and figures, as docs/bundle.md names them."""

    text: str
    content: Mapping[str, Any]

    @classmethod
    def parse(cls, markdown: bytes, figures: bytes) -> "ModelCard":
        """Make a card of the bytes of its two files; raise ValueError, with the file, for what is none."""
        for name, data in ((CARD_TEXT, markdown), (CARD, figures)):
            if len(data) > MAX_FILE_MIB[name] * MIB:
                raise ValueError(f"{name} has more than {MAX_FILE_MIB[name]} MiB")
        try:
            shown = markdown.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{CARD_TEXT} is not UTF-8") from error
        try:
            content = parse_json(figures)
            _CONTENT(content, "")
        except ValueError as error:
            raise ValueError(f"{CARD} is no model card") from error
        return cls(shown, content)


def has_card(manifest: Manifest) -> bool:
    """Tell whether an engine has a model card; those of before cards have none."""
    return any(map(manifest.lists, (CARD, CARD_TEXT)))


def read_card(bundle: Bundle) -> ModelCard | None:
    """Read the model card of a verified bundle; None if it has none.

    Raises IntegrityError if it is half there, was changed, or is no card.
    """
    if not has_card(bundle.manifest):
        return None
    markdown, figures = bundle.read(CARD_TEXT), bundle.read(CARD)
    try:
        return ModelCard.parse(markdown, figures)
    except ValueError as error:
        raise IntegrityError(f"{error}: export the bundle again") from error
