"""The named label sets of an engine, and prompts.json, which keeps their prompts in its bundle."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import EngineError, IntegrityError
from .schema import choice, listing, mapping, parse_json, record, text

PROMPT_SET_VERSION = "prompts-v1"
MAX_PROMPTS = 10_000  # of one label
PROMPT = text(4000, lines=True)
LABEL = record({"positive": listing(PROMPT, MAX_PROMPTS, 1), "negative": listing(PROMPT, MAX_PROMPTS)})
CONTENT = record({"version": choice(PROMPT_SET_VERSION), "sets": mapping(mapping(LABEL, 10_000), 1000)})


@dataclass(frozen=True)
class Label:
    """The prompts for a finding and, if given, those for its absence."""

    positive: Sequence[str]
    negative: Sequence[str] = ()


LabelSet = dict[str, Label]


def render_label_sets(sets: Mapping[str, LabelSet]) -> str:
    """Return the text of prompts.json."""
    content = {
        "version": PROMPT_SET_VERSION,
        "sets": {
            name: {
                key: {"positive": list(label.positive), "negative": list(label.negative)} for key, label in s.items()
            }
            for name, s in sets.items()
        },
    }
    return json.dumps(content, indent=1) + "\n"


def parse_label_sets(data: bytes) -> dict[str, LabelSet]:
    """Read the bytes of prompts.json; raise EngineError for another version, IntegrityError for other content."""
    try:
        content = parse_json(data)
        version = content.get("version") if isinstance(content, dict) else None
        if isinstance(version, str) and version != PROMPT_SET_VERSION:
            raise EngineError("prompts.json is of another version than this SDK reads: upgrade alta-sdk")
        CONTENT(content, "")
    except ValueError as error:
        raise IntegrityError("prompts.json cannot be read: export the bundle again") from error
    return {
        name: {key: Label(tuple(p["positive"]), tuple(p["negative"])) for key, p in labels.items()}
        for name, labels in content["sets"].items()
    }
