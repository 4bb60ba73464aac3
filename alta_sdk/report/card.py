"""What an engine's own model card says, for a page: the hash of card.json, and the facts and figures in it."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..engine.bundle import CARD, Bundle
from ..engine.card import read_card

MOST = 40  # facts on the page: the card itself has them all
LONGEST = 400


def describe_card(bundle: Bundle) -> list[tuple[str, str]]:
    """Return names and values of a card's facts, its hash first; nothing for an engine without a card.

    Raises IntegrityError for files that are no card.
    """
    card = read_card(bundle)
    if card is None:
        return []
    facts = list(_flatten("", card.content))
    more = [("more", f"{len(facts) - MOST} facts in {CARD}")] if len(facts) > MOST else []
    return [(f"{CARD} sha256", bundle.find(CARD).sha256), *facts[:MOST], *more]


def _flatten(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield a line for each plain value, and one for each entry of a list of records."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key != "schema_version":
                yield from _flatten(f"{name}, {key}".removeprefix(", ").replace("_", " "), item)
    elif isinstance(value, list):
        for item in value:
            yield name, _shorten("; ".join(f"{key} {said}" for key, said in _flatten("", item)) or item)
    elif value is not None:
        yield name, _shorten(value)


def _shorten(value: object) -> str:
    said = f"{value:.6g}" if isinstance(value, float) else str(value)
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"
