"""What an engine's own model card says, for a page: the hash of card.json, and the facts and figures in it."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..engine.bundle import Bundle
from ..engine.schema import parse_json
from ..errors import IntegrityError

CARD = "card.json"
MAX_BYTES = 1 << 20
MOST = 40  # facts on the page: the card itself has them all
LONGEST = 400


def describe_card(bundle: Bundle) -> list[tuple[str, str]]:
    """Return names and values of a card's facts, its hash first; nothing for an engine without a card.

    Raises IntegrityError for a file that is no card.
    """
    listed = next((file for file in bundle.manifest.files if file.name == CARD), None)
    if listed is None:
        return []
    try:
        if listed.size > MAX_BYTES:
            raise ValueError("too long")
        content = parse_json(bundle.read(CARD))
        facts = list(_flatten("", content)) if isinstance(content, dict) else []
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{CARD} is no model card: export the bundle again") from error
    more = [("more", f"{len(facts) - MOST} facts in {CARD}")] if len(facts) > MOST else []
    return [(f"{CARD} sha256", listed.sha256), *facts[:MOST], *more]


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
